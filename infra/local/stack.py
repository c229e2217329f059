#!/usr/bin/env python3
"""Puts confhub's stack into an account, or brings it up to date, or removes it.

    stack.py --endpoint http://127.0.0.1:4566            # the emulator
    stack.py --name confhub-test --parameter Root=test   # an account of AWS
    stack.py --endpoint http://127.0.0.1:4566 --delete

Says what happens on standard error. On standard output it prints the hub's
settings as one JSON object, or, with --shell, as lines for a shell to run:

    {"CONFHUB_AWS_TABLE": "confhub-Table-1A2B3C", ...}
"""

import argparse
import json
import re
import shlex
import sys
import time
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

TEMPLATE = Path(__file__).resolve().parent.parent / "stack.yaml"
POLL_SECONDS = {True: 0.1, False: 3}
EMULATOR_ACCOUNT = "000000000000"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    account_arguments(parser)
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help="one of stack.yaml's")
    parser.add_argument("--delete", action="store_true", help="remove the stack")
    parser.add_argument("--shell", action="store_true", help="print `export NAME=value` lines, not JSON")
    options = parser.parse_args()

    stack = Stack(options)
    if options.delete:
        stack.delete()
        return 0
    stack.deploy(dict(pair.split("=", 1) for pair in options.parameter))
    settings = stack.settings()
    if options.shell:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items()))
    else:
        print(json.dumps(settings, indent=2))
    return 0


def account_arguments(parser):
    parser.add_argument("--endpoint", help="an emulator; without it the account of the usual AWS credentials")
    parser.add_argument("--account", default=EMULATOR_ACCOUNT, help="which of the emulator's accounts, twelve digits")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--name", default="confhub", help="the stack's name")


def client(options, service):
    """A client of the emulator's account, or of the one that the usual credentials name."""
    if options.endpoint:
        # The emulator takes any secret.
        session = boto3.Session(options.account, "emulator", region_name=options.region)
    else:
        session = boto3.Session(region_name=options.region)
    return session.client(service, endpoint_url=options.endpoint)


class Stack:
    def __init__(self, options):
        self.options = options
        self.cloud = client(options, "cloudformation")
        self.seen = set()

    def deploy(self, parameters):
        if self.options.endpoint:
            # What is made for an hour is to be removed without ado.
            parameters = {"DeletionProtection": "no", **parameters}
        request = {
            "StackName": self.options.name,
            "TemplateBody": TEMPLATE.read_text(),
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        }
        found = self.describe()
        if found and found["StackStatus"] == "ROLLBACK_COMPLETE":
            # What failed to be made can only be removed.
            self.delete()
            found = None
        if found is None:
            self.cloud.create_stack(**request)
            return self.wait("CREATE_COMPLETE")
        self.remember_events()
        try:
            self.cloud.update_stack(**request)
        except ClientError as error:
            if "No updates" not in str(error):
                raise
            return say("nothing to update")
        return self.wait("UPDATE_COMPLETE")

    def delete(self):
        found = self.describe()
        if found is None:
            return say("there is none")
        self.remember_events()
        self.cloud.delete_stack(StackName=found["StackId"])
        # By its id, since a stack that is gone has no name any more.
        return self.wait("DELETE_COMPLETE", found["StackId"])

    def settings(self):
        outputs = self.outputs()
        settings = {variable(key): value for key, value in outputs.items() if key.startswith("Confhub")}
        if self.options.endpoint:
            settings |= self.emulated(outputs["UserPoolId"])
        return settings

    def emulated(self, pool):
        """What differs there: tokens bear the name of AWS's issuer, whose keys the emulator serves."""
        return {
            "CONFHUB_AWS_ENDPOINT": self.options.endpoint,
            "CONFHUB_AUTH_JWKS": f"{self.options.endpoint}/{pool}/.well-known/jwks.json",
            "AWS_ACCESS_KEY_ID": self.options.account,
            "AWS_SECRET_ACCESS_KEY": "emulator",
            "AWS_REGION": self.options.region,
        }

    def outputs(self):
        found = self.describe()
        if found is None:
            raise SystemExit(f"there is no stack {self.options.name}")
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def describe(self, stack=None):
        try:
            return self.cloud.describe_stacks(StackName=stack or self.options.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def wait(self, wanted, stack=None):
        status = "_IN_PROGRESS"
        while status.endswith("_IN_PROGRESS"):
            time.sleep(POLL_SECONDS[bool(self.options.endpoint)])
            status = self.describe(stack)["StackStatus"]
            for event in self.new_events(stack):
                if not event["ResourceStatus"].endswith("_IN_PROGRESS"):
                    reason = event.get("ResourceStatusReason", "")
                    say(f"{event['ResourceStatus']:18} {event['LogicalResourceId']} {reason}")
        if status != wanted:
            raise SystemExit(f"the stack is in {status}, not in {wanted}")

    def remember_events(self):
        self.new_events()

    def new_events(self, stack=None):
        pages = self.cloud.get_paginator("describe_stack_events").paginate(StackName=stack or self.options.name)
        events = [event for page in pages for event in page["StackEvents"] if event["EventId"] not in self.seen]
        self.seen |= {event["EventId"] for event in events}
        return reversed(events)


def variable(output):
    """`ConfhubAwsTable` is the setting CONFHUB_AWS_TABLE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", output).upper()


def say(line):
    print(line.rstrip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ClientError, BotoCoreError) as error:
        raise SystemExit(str(error)) from None
