"""Says of documents whether a published JSON Schema admits them.

Arguments: the folder of the schemas, and a file with one document a line. Prints `true` or
`false` for each.
"""

import json
import pathlib
import sys

from jsonschema import Draft7Validator
from referencing import Registry, Resource


def main(folder, documents):
    schemas = [json.loads(path.read_text("utf-8")) for path in pathlib.Path(folder).glob("*.json")]
    registry = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas if "$id" in schema
    )
    for schema in schemas:
        Draft7Validator.check_schema(schema)
    # By its name, since a `$ref` beside it hides its `$id`.
    validator = Draft7Validator({"$ref": "https://flagd.dev/schema/v0/flags.json"}, registry=registry)
    with open(documents, encoding="utf-8") as file:
        for line in file:
            print(json.dumps(validator.is_valid(json.loads(line))))


main(*sys.argv[1:])
