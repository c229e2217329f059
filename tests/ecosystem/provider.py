"""Python's flagd provider, evaluating in its own process, driven line by line.

Arguments: host, port, a CA's file and a file with the token; the last two may be left
out. A line of standard input is a JSON array of [kind, flag, default, attributes], where
attributes["targetingKey"] is the user; a line of standard output answers it with an array of
[value, variant]. Events are lines {"event": name}.
"""

import json
import sys
import threading

import grpc
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent

SAYING = threading.Lock()


def say(line):
    with SAYING:
        print(json.dumps(line), flush=True)


class Token(grpc.AuthMetadataPlugin):
    """Puts what the file says now on each call."""

    def __init__(self, path):
        self.path = path

    def __call__(self, context, callback):
        try:
            with open(self.path) as file:
                callback((("authorization", "Bearer " + file.read().strip()),), None)
        except OSError as error:
            callback((), error)


def credentials(ca, token):
    with open(ca, "rb") as file:
        channel = grpc.ssl_channel_credentials(file.read())
    return grpc.composite_channel_credentials(
        channel, grpc.metadata_call_credentials(Token(token))
    )


def evaluate(client, kind, flag, default, attributes):
    user = attributes.pop("targetingKey", None)
    context = EvaluationContext(user, attributes)
    details = getattr(client, f"get_{kind}_details")(flag, default, context)
    return [details.value, details.variant]


def main():
    host, port, *rest = sys.argv[1:]
    provider = FlagdProvider(
        host=host,
        port=int(port),
        resolver_type=ResolverType.IN_PROCESS,
        channel_credentials=credentials(*rest) if rest else None,
        deadline_ms=60_000,
        retry_backoff_ms=100,
        retry_backoff_max_ms=200,
    )
    for event in ProviderEvent:
        api.add_handler(event, lambda _, name=event.name: say({"event": name}))
    api.set_provider_and_wait(provider)
    client = api.get_client()
    say({"event": "STARTED"})
    for line in sys.stdin:
        say([evaluate(client, *asked) for asked in json.loads(line)])
    api.shutdown()


main()
