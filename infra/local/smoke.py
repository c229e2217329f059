#!/usr/bin/env python3
"""Proves over the wire what `patches.py` adds to the emulator, and that confhub's stack works there.

    smoke.py [--endpoint http://127.0.0.1:4566]

Starts an emulator of its own unless it is given one. Prints a line per check;
ends with 1 if any failed.
"""

import argparse
import base64
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import boto3
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

WAIT_SECONDS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint")
    options = parser.parse_args()
    with emulator(options.endpoint) as endpoint:
        checks = [parameter_events, secret_events, pipe_to_bus, pipe_to_queue, long_poll, stack, stack_with_hubs]
        failed = [check for check in checks if not passes(check, Account(endpoint))]
    return 1 if failed else 0


@contextmanager
def emulator(endpoint):
    if endpoint:
        yield endpoint
        return
    launcher = Path(__file__).with_name("emulator.py")
    command = [sys.executable, launcher, "--port", "0", "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield json.loads(process.stdout.readline())["endpoint"]
        process.stdin.close()


def passes(check, account):
    begin = time.monotonic()
    try:
        note = check(account)
    except Exception as problem:
        print(f"FAIL {check.__name__}: {problem!r}", flush=True)
        return False
    print(f"ok   {check.__name__} ({(time.monotonic() - begin) * 1000:.0f} ms){note or ''}", flush=True)
    return True


class Account:
    """Clients of an account that nothing else uses."""

    def __init__(self, endpoint):
        self.endpoint, self.id = endpoint, f"{random.randrange(10**11, 10**12)}"
        session = boto3.Session(self.id, "any", region_name="us-east-1")
        self.client = lambda name: session.client(name, endpoint_url=endpoint)
        self.sqs, self.sns, self.events = self.client("sqs"), self.client("sns"), self.client("events")

    def queue(self, name):
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        return url, f"arn:aws:sqs:us-east-1:{self.id}:{name}"

    def rule_to_queue(self, bus, pattern):
        """A rule, a topic and a queue that gets the topic's messages raw: the way of the stack."""
        url, queue = self.queue("events")
        topic = self.sns.create_topic(Name="events")["TopicArn"]
        self.subscribe(topic, queue)
        self.events.put_rule(Name="rule", EventBusName=bus, EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule="rule", EventBusName=bus, Targets=[{"Id": "topic", "Arn": topic}])
        return url

    def subscribe(self, topic, queue):
        raw = {"RawMessageDelivery": "true"}
        self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes=raw)

    def receive(self, url, count):
        """The next `count` messages; waits for them, and a moment more for what should not come."""
        messages, deadline = [], time.monotonic() + WAIT_SECONDS
        while len(messages) < count and time.monotonic() < deadline:
            messages += self.poll(url, 2)
        messages += self.poll(url, 0)
        assert len(messages) == count, f"{count} messages expected, got {messages}"
        return messages

    def poll(self, url, seconds):
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=seconds)
        for message in answer.get("Messages", []):
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def table(self):
        """A table with a stream of keys; gives the stream's ARN."""
        answer = self.client("dynamodb").create_table(
            TableName="rows",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        )
        return answer["TableDescription"]["LatestStreamArn"]

    def pipe(self, source, target, parameters):
        pattern = {"dynamodb": {"Keys": {"sk": {"S": [{"prefix": "CONFIG#"}]}}}}
        self.client("pipes").create_pipe(
            Name="pipe",
            RoleArn=f"arn:aws:iam::{self.id}:role/pipe",
            Source=source,
            Target=target,
            SourceParameters={
                "DynamoDBStreamParameters": {"StartingPosition": "LATEST"},
                "FilterCriteria": {"Filters": [{"Pattern": json.dumps(pattern)}]},
            },
            TargetParameters=parameters,
        )

    def put_rows(self, *sort_keys, table="rows"):
        for key in sort_keys:
            item = {"pk": {"S": "TENANT#acme"}, "sk": {"S": key}, "value": {"S": "never in an event"}}
            self.client("dynamodb").put_item(TableName=table, Item=item)

    def script(self, name, *arguments):
        """What a script beside this one prints when it works on this account."""
        command = [sys.executable, Path(__file__).with_name(name), "--endpoint", self.endpoint, "--account", self.id]
        return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout


def parameter_events(account):
    url = account.rule_to_queue(
        "default",
        {
            "source": ["aws.ssm"],
            "detail-type": ["Parameter Store Change"],
            "detail": {"name": [{"prefix": "/confhub/"}]},
        },
    )
    ssm = account.client("ssm")
    name = "/confhub/acme/shared/param_config_one"
    ssm.put_parameter(Name=name, Value="1", Type="String", Description="first")
    ssm.put_parameter(Name=name, Value="2", Overwrite=True)
    ssm.label_parameter_version(Name=name, Labels=["live"])
    ssm.delete_parameter(Name=name)
    ssm.put_parameter(Name=name, Value="1", Type="SecureString")
    ssm.delete_parameters(Names=[name, "/confhub/missing"])
    ssm.put_parameter(Name="/elsewhere/one", Value="1", Type="String")
    got = account.receive(url, 6)
    operations = ["Create", "Update", "LabelParameterVersion", "Delete", "Create", "Delete"]
    assert [event["detail"]["operation"] for event in got] == operations, got
    assert got[0]["detail"] == {"operation": "Create", "name": name, "type": "String", "description": "first"}
    assert got[0]["source"] == "aws.ssm" and got[0]["resources"][0].endswith(f":parameter{name}")
    assert got[5]["detail"]["type"] == "SecureString"


def secret_events(account):
    trail = {"source": ["aws.secretsmanager"], "detail-type": ["AWS API Call via CloudTrail"]}
    url = account.rule_to_queue("default", trail)
    secrets = account.client("secretsmanager")
    name = "/confhub/acme/shared/secret_config_one"
    arn = secrets.create_secret(Name=name, SecretString="hidden")["ARN"]
    secrets.put_secret_value(SecretId=arn, SecretString="hidden too")
    secrets.delete_secret(SecretId=name)
    got = account.receive(url, 3)
    assert [event["detail"]["eventName"] for event in got] == ["CreateSecret", "PutSecretValue", "DeleteSecret"]
    parameters = [event["detail"]["requestParameters"] for event in got]
    assert parameters == [{"name": name}, {"secretId": arn}, {"secretId": name}], parameters
    assert "hidden" not in json.dumps(got)


def pipe_to_bus(account):
    bus = account.events.create_event_bus(Name="bus")["EventBusArn"]
    url = account.rule_to_queue("bus", {"source": ["confhub.table"]})
    parameters = {"Source": "confhub.table", "DetailType": "DynamoDB Stream Record"}
    account.pipe(account.table(), bus, {"EventBridgeEventBusParameters": parameters})
    account.put_rows("HISTORY#one#1", "CONFIG#one", "CONFIG#two")
    account.client("dynamodb").delete_item(
        TableName="rows", Key={"pk": {"S": "TENANT#acme"}, "sk": {"S": "CONFIG#one"}}
    )
    got = account.receive(url, 3)
    assert [e["detail"]["eventName"] for e in got] == ["INSERT", "INSERT", "REMOVE"], got
    assert got[0]["detail"]["dynamodb"]["Keys"] == {"pk": {"S": "TENANT#acme"}, "sk": {"S": "CONFIG#one"}}
    assert got[0]["detail-type"] == "DynamoDB Stream Record"
    assert "never in an event" not in json.dumps(got)


def pipe_to_queue(account):
    url, queue = account.queue("rows")
    template = '{"key": <$.dynamodb.Keys.sk.S>, "what": "row <$.eventName>"}'
    account.pipe(account.table(), queue, {"InputTemplate": template})
    account.put_rows("APPLY#one", "CONFIG#one")
    assert account.receive(url, 1) == [{"key": "CONFIG#one", "what": "row INSERT"}]


def long_poll(account):
    url, _ = account.queue("waiting")
    delays = []
    for _ in range(20):
        sent = []

        def send():
            time.sleep(0.05)
            sent.append(time.monotonic())
            account.sqs.send_message(QueueUrl=url, MessageBody="{}")

        sender = threading.Thread(target=send)
        sender.start()
        assert account.poll(url, 10) == [{}]
        delays.append(time.monotonic() - sent[0])
        sender.join()
    middle = sorted(delays)[len(delays) // 2] * 1000
    assert middle < 50, f"{middle:.0f} ms from send to receive"
    return f", {middle:.1f} ms from send to receive (median of {len(delays)})"


def stack(account):
    settings = json.loads(account.script("stack.py"))
    assert json.loads(account.script("stack.py")) == settings, "a second time changes nothing"
    changes_reach_a_queue(account, settings)
    signs_tokens(account, settings)
    table_is_as_told(account.client("dynamodb"), settings["CONFHUB_AWS_TABLE"])
    account.script("stack.py", "--delete")


def stack_with_hubs(account):
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    zones = {"us-east-1a": "10.0.0.0/24", "us-east-1b": "10.0.1.0/24"}
    subnets = ",".join(
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for zone, block in zones.items()
    )
    certificate = account.client("acm").request_certificate(DomainName="hub.example.com")["CertificateArn"]
    given = {"VpcId": vpc, "LoadBalancerSubnets": subnets, "HubSubnets": subnets, "CertificateArn": certificate}
    parameters = [f"--parameter={name}={value}" for name, value in given.items()]
    account.script("stack.py", "--parameter=DeployService=yes", *parameters)
    account.script("stack.py", "--delete")


def changes_reach_a_queue(account, settings):
    url, queue = account.queue(settings["CONFHUB_AWS_QUEUE_PREFIX"] + "-smoke")
    account.subscribe(settings["CONFHUB_AWS_TOPIC"], queue)
    root = settings["CONFHUB_AWS_ROOT"]
    ssm, secrets = account.client("ssm"), account.client("secretsmanager")
    ssm.put_parameter(Name=f"/{root}/acme/shared/param_config_one", Value="1", Type="String")
    ssm.put_parameter(Name=f"/{root}-other/acme/shared/param_config_one", Value="1", Type="String")
    secret = secrets.create_secret(Name=f"/{root}/acme/shared/secret_config_one", SecretString="1")["ARN"]
    secrets.put_secret_value(SecretId=secret, SecretString="2")
    secrets.create_secret(Name="elsewhere", SecretString="1")
    account.put_rows("SERVICE#checkout", "CONFIG#tenant_config_one", table=settings["CONFHUB_AWS_TABLE"])
    got = sorted(event["detail-type"] for event in account.receive(url, 5))
    trail = "AWS API Call via CloudTrail"
    assert got == [trail, trail, "DynamoDB Stream Record", "Parameter Store Change", "Secret Label Updated"], got


def signs_tokens(account, settings):
    token = account.script("user.py", "--tenant", "acme", "--service", "checkout", "--group", "writer", "someone")
    header, claims = [json.loads(base64.urlsafe_b64decode(part + "===")) for part in token.split(".")[:2]]
    assert claims["iss"] == settings["CONFHUB_AUTH_ISSUER"], claims
    assert claims["aud"] in settings["CONFHUB_AUTH_AUDIENCE"].split(","), claims
    assert (claims["custom:tenantId"], claims["custom:service"]) == ("acme", "checkout"), claims
    assert (claims["cognito:groups"], claims["token_use"]) == (["writer"], "id"), claims
    with urllib.request.urlopen(settings["CONFHUB_AUTH_JWKS"]) as answer:
        keys = json.load(answer)["keys"]
    [key] = [key for key in keys if key["kid"] == header["kid"]]
    verify(token.strip(), key)


def verify(token, key):
    """Raises if the key did not sign the token."""
    number, content = (lambda text: int.from_bytes(base64.urlsafe_b64decode(text + "==="))), token.rpartition(".")
    public = RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
    signature = base64.urlsafe_b64decode(content[2] + "===")
    public.verify(signature, content[0].encode(), PKCS1v15(), SHA256())


def table_is_as_told(dynamodb, table):
    ttl = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires"), ttl
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED", backups
    assert dynamodb.describe_table(TableName=table)["Table"]["SSEDescription"]["Status"] == "ENABLED"


if __name__ == "__main__":
    sys.exit(main())
