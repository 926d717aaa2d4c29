"""Turns infra/template.yaml into plain CloudFormation, as `sam deploy` has it done by AWS: JSON on standard output.

    python tests/aws/translate.py infra/template.yaml [--for-moto]

The functions' code is somewhere else; nothing looks at it. moto's CloudFormation knows no HTTP API: with --for-moto that is left out, and
whatever asks for its address gets one that leads nowhere.
"""
import json
import os
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


API = "https://api.example.com"


def without_api(template):
    resources = template["Resources"]
    gone = {name for name, resource in resources.items() if resource["Type"].startswith("AWS::ApiGatewayV2::")}
    gone |= {name for name, resource in resources.items() if resource["Type"] == "AWS::Lambda::Permission" and "apigateway" in str(resource)}
    for name in gone:
        del resources[name]

    def replaced(value):
        if isinstance(value, dict):
            if value.get("Fn::GetAtt", [None])[0] in gone:
                return API
            return {key: replaced(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner) for inner in value]
        return value.replace("${Api.ApiEndpoint}", API) if isinstance(value, str) else value

    return replaced(template)


class ManagedPolicies:
    """The roles here name no managed policy."""

    def load(self):
        return {}


def translate(path, for_moto):
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
    with open(path) as file:
        template = yaml_parse(file.read())
    template["Globals"]["Function"]["CodeUri"] = "s3://code/function.zip"
    plain = transform(template, {}, ManagedPolicies())
    return without_api(plain) if for_moto else plain


if __name__ == "__main__":
    print(json.dumps(translate(sys.argv[1], "--for-moto" in sys.argv), indent=1))
