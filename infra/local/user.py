#!/usr/bin/env python3
"""Makes a user in the stack's pool and prints an ID token for it.

    user.py --endpoint http://127.0.0.1:4566 --tenant acme --group writer alice
    user.py --tenant acme --service checkout checkout-acme

A user that exists keeps its tenant and service, which nobody can change; it gets a
new password and the groups.
"""

import argparse
import secrets
import sys

from botocore.exceptions import BotoCoreError, ClientError
from stack import Stack, account_arguments, client


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    account_arguments(parser)
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--service", help="a user that is a service")
    parser.add_argument("--group", action="append", default=[], help="writer, secret-reader or operator")
    parser.add_argument("user")
    options = parser.parse_args()

    outputs = Stack(options).outputs()
    cognito = client(options, "cognito-idp")
    user = {"UserPoolId": outputs["UserPoolId"], "Username": options.user}
    # For this one sign-in, and such that the pool's policy is content.
    password = f"{secrets.token_urlsafe(24)}aA1"
    make(cognito, user, password, options)
    for group in options.group:
        cognito.admin_add_user_to_group(**user, GroupName=group)
    print(token(cognito, user, password, outputs["PeopleClientId"]))


def make(cognito, user, password, options):
    attributes = {"custom:tenantId": options.tenant}
    if options.service:
        attributes["custom:service"] = options.service
    try:
        cognito.admin_create_user(
            **user,
            UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
            TemporaryPassword=password,
            MessageAction="SUPPRESS",
        )
    except cognito.exceptions.UsernameExistsException:
        found = {one["Name"]: one["Value"] for one in cognito.admin_get_user(**user)["UserAttributes"]}
        found = {name: value for name, value in found.items() if name.startswith("custom:")}
        if found != attributes:
            raise SystemExit(f"{options.user} exists, with {found}, and that cannot change") from None


def token(cognito, user, password, client_id):
    cognito.admin_set_user_password(**user, Password=password, Permanent=True)
    answer = cognito.admin_initiate_auth(
        UserPoolId=user["UserPoolId"],
        ClientId=client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": user["Username"], "PASSWORD": password},
    )
    return answer["AuthenticationResult"]["IdToken"]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ClientError, BotoCoreError) as error:
        raise SystemExit(str(error)) from None
