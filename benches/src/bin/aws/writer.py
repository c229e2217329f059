"""Writes to the stores as somebody would who knows nothing of confhub but where its entries are.

Reads lines `store key value`, makes one call of AWS's SDK for each, and prints when it
began and when it returned, in nanoseconds since the epoch.
"""

import datetime
import os
import sys
import time

import boto3

tenant = sys.argv[1]
endpoint, table, root = (os.environ[f"CONFHUB_AWS_{name}"] for name in ("ENDPOINT", "TABLE", "ROOT"))
dynamodb = boto3.client("dynamodb", endpoint_url=endpoint)
ssm = boto3.client("ssm", endpoint_url=endpoint)


def write_row(key, value):
    modified = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    dynamodb.update_item(
        TableName=table,
        Key={"pk": {"S": f"TENANT#{tenant}"}, "sk": {"S": f"CONFIG#{key}"}},
        UpdateExpression="SET #value = :value, content_type = :type, modified = :now ADD version :one",
        ExpressionAttributeNames={"#value": "value"},
        ExpressionAttributeValues={
            ":value": {"S": value},
            ":type": {"S": "application/json"},
            ":now": {"S": modified},
            ":one": {"N": "1"},
        },
    )


def write_parameter(key, value):
    ssm.put_parameter(Name=f"/{root}/{tenant}/shared/{key}", Value=value, Type="String", Overwrite=True)


stores = {"dynamodb": write_row, "ssm": write_parameter}
for line in sys.stdin:
    store, key, value = line.rstrip("\n").split(" ", 2)
    began = time.time_ns()
    stores[store](key, value)
    print(began, time.time_ns(), flush=True)
