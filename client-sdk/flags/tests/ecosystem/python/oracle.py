"""Evaluates flags for users with flagd's provider of Python, in process.

Arguments: a flagd file, and a file with the questions: {"flags": [[name, type, default], …],
"users": [context, …]}. Prints one line of JSON for each user: for each flag what came of
it, as [value, variant, reason, error code].
"""

import json
import logging
import sys

from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

logging.disable(logging.CRITICAL)


def answer(resolve, name, default, context):
    try:
        details = resolve(name, default, context)
    except OpenFeatureError as error:
        return [default, None, "ERROR", error.error_code.value]
    reason = getattr(details.reason, "value", details.reason)
    return [details.value, details.variant, reason, None]


def main(flags_file, questions_file):
    with open(questions_file, encoding="utf-8") as file:
        questions = json.load(file)
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=flags_file)
    provider.initialize(EvaluationContext())
    asked = [
        (getattr(provider, f"resolve_{kind}_details"), name, default)
        for name, kind, default in questions["flags"]
    ]
    for user in questions["users"]:
        key = user.pop("targetingKey", None)
        context = EvaluationContext(targeting_key=key, attributes=user)
        print(json.dumps([answer(*question, context) for question in asked]))
    provider.shutdown()


main(*sys.argv[1:])
