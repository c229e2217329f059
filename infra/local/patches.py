"""What the emulator lacks and confhub needs, added by wrapping its functions.

- `Parameter Store Change` events, labels included.
- CloudTrail's record of a write to Secrets Manager, as EventBridge shows it.
- A Pipe from a table's stream to an event bus or a queue, with its filter, its
  source and detail type, and its input template.
- What a stack needs: a table's expiry, recovery and encryption; an ECS service whose
  count is a parameter; two types of resource, one of them as a mere record.
- Dates of secrets in milliseconds, as AWS gives them, and the id that a caller
  chooses for a secret's first version.
- Waits in milliseconds: a Pipe runs when the table changes, and a long poll
  looks every 5 ms.

Nothing here knows confhub. Every name that is wrapped is looked up first, so a
version of the emulator that has renamed one is refused at start, and
`smoke.py` proves each addition over the wire.
"""

import asyncio
import functools
import json
import re
import threading
import time
from importlib import import_module
from importlib.metadata import version
from types import SimpleNamespace

MINISTACK = "1.5.33"
LONG_POLL_SECONDS = 0.005


def install():
    """Wraps what has to be wrapped, or ends the program saying what is missing."""
    if version("ministack") != MINISTACK:
        raise SystemExit(f"ministack {version('ministack')} is installed; the patches are for {MINISTACK}")
    parameter_events()
    secret_events()
    secret_dates()
    secret_ids()
    pipes()
    tables()
    services()
    long_poll()


def secret_dates():
    """Every date there is `int(time.time())`; two changes within a second would look like one."""
    secrets = service("secretsmanager")
    has(secrets, "time")

    def milliseconds(value=0, *base):
        return round(value, 3) if isinstance(value, float) else int(value, *base)

    secrets.int = milliseconds


def secret_ids():
    """AWS makes the token of a CreateSecret the id of the first version; so a caller knows its own."""
    secrets = service("secretsmanager")
    stored = has(secrets, "_secrets")

    def around(original, data):
        status, headers, body = original(data)
        token = data.get("ClientRequestToken")
        if token and status == 200:
            made = json.loads(body)
            versions = stored[data["Name"]]["Versions"]
            versions[token] = versions.pop(made["VersionId"])
            body = json.dumps({**made, "VersionId": token}).encode()
        return status, headers, body

    wrap(secrets, "_create_secret", around)


def service(name):
    return import_module(f"ministack.services.{name}")


def has(owner, name):
    """The thing called `name` in a module, or in a dict that a module holds."""
    found = owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
    if found is None:
        where = getattr(owner, "__name__", "a table")
        raise SystemExit(f"ministack {MINISTACK} has no {name} in {where}: infra/local/patches.py no longer fits")
    return found


def wrap(owner, name, around):
    """Replaces a function by `around(original, *arguments)`."""
    original = has(owner, name)

    @functools.wraps(original)
    def wrapped(*args, **kwargs):
        return around(original, *args, **kwargs)

    if isinstance(owner, dict):
        owner[name] = wrapped
    else:
        setattr(owner, name, wrapped)


def body_of(response):
    """The JSON of an answer, or nothing if it is an error."""
    status, _headers, body = response
    return json.loads(body or b"{}") if status < 300 else None


def put_event(source, detail_type, detail, resources=(), bus="default"):
    put_events = has(service("eventbridge"), "_put_events")
    # The emulator refuses `aws.` sources from everybody but itself.
    put_events(
        {
            "Entries": [
                {
                    "Source": source,
                    "DetailType": detail_type,
                    "Detail": json.dumps(detail) if not isinstance(detail, str) else detail,
                    "Resources": list(resources),
                    "EventBusName": bus,
                }
            ]
        },
        allow_aws_source=True,
    )


def resource_handlers():
    """How a stack makes each type of resource."""
    return has(import_module("ministack.services.cloudformation.provisioners"), "_RESOURCE_HANDLERS")


# Parameter Store ---------------------------------------------------------


def parameter_events():
    ssm = service("ssm")
    lookup = has(ssm, "_lookup_parameter")
    arn = has(ssm, "_param_arn")

    def announce(operation, name, parameter):
        detail = {
            "operation": operation,
            "name": name,
            "type": parameter["Type"],
            "description": parameter.get("Description", ""),
        }
        put_event("aws.ssm", "Parameter Store Change", detail, [arn(name)])

    def put(original, data):
        response = original(data)
        answer = body_of(response)
        if answer:
            operation = "Create" if answer["Version"] == 1 else "Update"
            announce(operation, *lookup(data["Name"]))
        return response

    def delete(original, data):
        # What a deleted parameter was is only known before.
        names = data.get("Names") or [data.get("Name")]
        before = [lookup(name) for name in names]
        response = original(data)
        answer = body_of(response)
        if answer is not None:
            for name, parameter in before:
                if parameter:
                    announce("Delete", name, parameter)
        return response

    def label(original, data):
        response = original(data)
        if body_of(response):
            announce("LabelParameterVersion", *lookup(data["Name"]))
        return response

    wrap(ssm, "_put_parameter", put)
    wrap(ssm, "_delete_parameter", delete)
    wrap(ssm, "_delete_parameters", delete)
    wrap(ssm, "_label_parameter_version", label)


# Secrets Manager ---------------------------------------------------------

SECRET_WRITES = {
    "CreateSecret": "_create_secret",
    "PutSecretValue": "_put_secret_value",
    "UpdateSecret": "_update_secret",
    "UpdateSecretVersionStage": "_update_secret_version_stage",
    "DeleteSecret": "_delete_secret",
    "RestoreSecret": "_restore_secret",
}


def secret_events():
    secrets = service("secretsmanager")

    def recorded(event_name):
        def around(original, data):
            response = original(data)
            if body_of(response) is not None:
                # CloudTrail leaves the value out and begins names with a small letter.
                shown = {k[0].lower() + k[1:]: v for k, v in data.items() if k in ("Name", "SecretId", "VersionId")}
                detail = {
                    "eventVersion": "1.11",
                    "eventSource": "secretsmanager.amazonaws.com",
                    "eventName": event_name,
                    "eventType": "AwsApiCall",
                    "readOnly": False,
                    "requestParameters": shown,
                    "responseElements": None,
                }
                put_event("aws.secretsmanager", "AWS API Call via CloudTrail", detail)
            return response

        return around

    for event_name, function in SECRET_WRITES.items():
        wrap(secrets, function, recorded(event_name))


# Pipes -------------------------------------------------------------------


def pipes():
    module = service("pipes")
    handlers = resource_handlers()
    stored = has(module, "_pipes")
    wanted = ("SourceParameters", "TargetParameters")

    def keep(name, settings):
        """The emulator forgets how a pipe filters and addresses; its record can hold it."""
        if name in stored:
            stored[name].update({key: settings[key] for key in wanted if settings.get(key)})

    def over_the_api(original, name, body):
        response = original(name, body)
        if body_of(response) is not None:
            keep(name, body)
        return response

    def created_by_stack(original, logical_id, props, stack_name):
        name, attributes = original(logical_id, props, stack_name)
        keep(name, props)
        return name, attributes

    def updated_by_stack(original, physical_id, old, new, *rest, **named):
        result = original(physical_id, old, new, *rest, **named)
        keep(result[0], new)
        return result

    def deliver(original, pipe, batch):
        send = target_of(pipe)
        if send is None:
            return original(pipe, batch)
        for record in batch:
            if admitted(pipe, record):
                send(record)
        return True

    wrap(module, "_create_pipe", over_the_api)
    wrap(module, "_update_pipe", over_the_api)
    wrap(has(handlers, "AWS::Pipes::Pipe"), "create", created_by_stack)
    wrap(has(handlers, "AWS::Pipes::Pipe"), "update", updated_by_stack)
    wrap(module, "_deliver_batch", deliver)
    run_pipes_on_change(module)


def run_pipes_on_change(module):
    """The poller sleeps up to five seconds; a change of a table wakes it."""
    changed = threading.Event()
    has(module, "time")

    def sleep(seconds):
        changed.wait(seconds)
        changed.clear()

    def emit(original, *args, **kwargs):
        original(*args, **kwargs)
        changed.set()

    module.time = SimpleNamespace(**{**vars(time), "sleep": sleep})
    wrap(service("dynamodb"), "_emit_stream_event", emit)


def target_of(pipe):
    """How a record goes to the pipe's target; nothing if the emulator knows that itself."""
    target = import_module("ministack.core.arn").parse_arn(pipe["Target"])
    parameters = pipe.get("TargetParameters") or {}
    template = parameters.get("InputTemplate")

    if target.service == "events":
        bus = parameters.get("EventBridgeEventBusParameters") or {}

        def to_bus(record):
            put_event(
                bus.get("Source", f"Pipe {pipe['Name']}"),
                bus.get("DetailType", "Event from aws:dynamodb"),
                rendered(template, record),
                bus.get("Resources", []),
                target.resource.split("/", 1)[1],
            )

        return to_bus
    if target.service == "sqs":
        send = has(service("eventbridge"), "_dispatch_to_sqs")
        return lambda record: send(target, rendered(template, record), parameters.get("SqsQueueParameters"))
    return None


def admitted(pipe, record):
    """Whether one of the pipe's filters lets the record through; no filter lets all through."""
    events = service("eventbridge")
    compiled = has(events, "_compiled_pattern")
    matches = has(events, "_matches_detail")
    source = pipe.get("SourceParameters") or {}
    filters = (source.get("FilterCriteria") or {}).get("Filters") or []
    return not filters or any(
        matches(record, alternative) for one in filters for alternative in compiled(one["Pattern"]) or ()
    )


def rendered(template, record):
    """The record as the target gets it: as it is, or put into the places `<$.a.b>` of a template."""
    if not template:
        return json.dumps(record)
    render = has(service("eventbridge"), "_render_input_template")
    places = set(re.findall(r"<(\$[^<>]*)>", template))
    return render(template, {place: at(record, place) for place in places})


def at(record, path):
    for name in path.lstrip("$.").split("."):
        record = record.get(name) if isinstance(record, dict) and name else record
    return record


# Tables ------------------------------------------------------------------


def tables():
    """Three settings of a stack's table that the emulator only takes through their own calls."""
    dynamodb = service("dynamodb")
    calls = {
        "TimeToLiveSpecification": has(dynamodb, "_update_ttl"),
        "PointInTimeRecoverySpecification": has(dynamodb, "_update_continuous_backups"),
    }
    encrypt = has(dynamodb, "_update_table")

    def create(original, logical_id, props, stack_name):
        name, attributes = original(logical_id, props, stack_name)
        for setting, call in calls.items():
            if props.get(setting):
                call({"TableName": name, setting: props[setting]})
        if props.get("SSESpecification"):
            encrypt({"TableName": name, "SSESpecification": {"Enabled": props["SSESpecification"]["SSEEnabled"]}})
        return name, attributes

    wrap(has(resource_handlers(), "AWS::DynamoDB::Table"), "create", create)


# Services ----------------------------------------------------------------


def services():
    """A stack with an ECS service: what stops the emulator from making it, out of the way.

    No container runs, so a rule between security groups is only written down.
    """
    handlers = resource_handlers()
    waf = service("waf")
    associate, disassociate = has(waf, "_associate_web_acl"), has(waf, "_disassociate_web_acl")

    def create_service(original, logical_id, props, stack_name):
        # Parameters are strings there, numbers too.
        return original(logical_id, {**props, "DesiredCount": int(props.get("DesiredCount", 1))}, stack_name)

    def create_association(logical_id, props, stack_name):
        if body_of(associate(props)) is None:
            raise ValueError(f"there is no web ACL {props['WebACLArn']}")
        return props["ResourceArn"], {}

    def create_record(logical_id, props, stack_name):
        return f"{stack_name}-{logical_id}", {}

    wrap(has(handlers, "AWS::ECS::Service"), "create", create_service)
    handlers["AWS::WAFv2::WebACLAssociation"] = {
        "create": create_association,
        "delete": lambda physical_id, props: disassociate({"ResourceArn": physical_id}),
    }
    handlers["AWS::EC2::SecurityGroupEgress"] = {"create": create_record, "delete": lambda physical_id, props: None}


# Queues ------------------------------------------------------------------


def long_poll():
    """A waiting receive looks for messages every 5 ms, not every 100."""
    sqs = service("sqs")
    has(has(sqs, "asyncio"), "sleep")

    def sleep(seconds):
        return asyncio.sleep(min(seconds, LONG_POLL_SECONDS))

    sqs.asyncio = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
