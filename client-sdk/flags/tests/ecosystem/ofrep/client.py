"""Asks a hub for flags with Python's client of OFREP. Argument: the hub's HTTP port; the
token is in CONFHUB_TOKEN. Prints [flag, value, variant, reason, error code] a line.
"""

import json
import logging
import os
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

logging.disable(logging.CRITICAL)
token = os.environ["CONFHUB_TOKEN"]
headers = {"Authorization": f"Bearer {token}"}
api.set_provider(OFREPProvider(sys.argv[1], headers_factory=lambda: headers))
client = api.get_client()


def user(country):
    return EvaluationContext("user-1", {"country": country})


for kind, flag, default, country in [
    ("boolean", "a/b", False, "de"),
    ("boolean", "a/b", True, "fr"),
    ("boolean", "disabled", True, "de"),
    ("object", "limits", {}, "de"),
    ("float", "number", 0.5, "de"),
    ("string", "number", "code", "de"),
    ("boolean", "nothing", True, "de"),
]:
    told = getattr(client, f"get_{kind}_details")(flag, default, user(country))
    code = told.error_code and told.error_code.value
    print(json.dumps([flag, told.value, told.variant, getattr(told.reason, "value", told.reason), code]), flush=True)
