"""AWS for the tests: moto's services behind one port, with what moto leaves out and tests need.

    python tests/aws/moto_server.py        prints the port it listens on, and ends when its standard input does

Beyond moto:
  - RunTask honours its client token, as AWS does: the same call again is the same task, another call under the token is a conflict.
  - A session that was narrowed by a policy (AssumeRole) can do in S3 what that policy allows, and nothing else; so can keys that a test
    gives a policy to. Links end when they say so.
  - POST /_test/advance   {"queues": PREFIX, "seconds": N}   time passes for these SQS queues
  - POST /_test/fault     {"service": S, "action": A, "times": N, "code": C, "status": 400, "after": bool}   the next N such calls fail; with
                          "after" they are done, and only their answer is lost
  - POST /_test/lack      {"cluster": C, "provider": P, "lack": bool}   this capacity provider has no room for the cluster's tasks
  - POST /_test/task      {"task": ARN, "exit_code": N, "reason": R, "stopped_reason": R, "stop_code": C}   a task ends
  - POST /_test/task      {"task": ARN, "status": S}   a task comes to this, and stays there, also when it is stopped
  - POST /_test/keys      {"access_key": K, "policy": {…} | null, "expired": bool}
  - POST /_test/deploy    {"template": PATH, "stack": NAME, "parameters": {…}}   what `sam deploy` makes: {"functions": {NAME:
                          {"environment", "role"}}, "policies": {ROLE: [STATEMENT]}, "roles": {NAME: ROLE}, "outputs": {…}}
  - GET  /_test/role/KEY  credentials of a task role, as ECS hands them out, with KEY as the access key
  - GET  /_test/calls     every call so far: {"key": access key, "service", "action", "resource"}
"""
import ast
import fnmatch
import io
import json
import os
import re
import sys
import threading
import time
import traceback
import zipfile
from datetime import datetime, timezone
from urllib.parse import parse_qs, unquote

import boto3
from moto.core.config import default_user_config
from moto.ec2.models import ec2_backends
from moto.ecs.models import EC2ContainerServiceBackend, ecs_backends
from moto.moto_api._internal import moto_random  # noqa: F401  (loads the API's models)
from moto.moto_api import state_manager
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import secretsmanager_backends
from moto.sqs import models as sqs_models
from translate import translate
from werkzeug.serving import WSGIRequestHandler, make_server

ACCOUNT = "123456789012"


def quick_wait(self, timeout):
    """moto looks at a waiting queue once a second; AWS hands a message out as soon as it shows."""
    time.sleep(0.02)


sqs_models.Queue.wait_for_messages = quick_wait
# A Fargate task's containers need no memory of their own; moto counts it.
EC2ContainerServiceBackend._calculate_task_resource_requirements = lambda self, definition: {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}
# Functions are described and never run: that takes no Docker.
default_user_config["lambda"]["use_docker"] = False
# A task runs until a test ends it; moto would move it along with each look at it.
state_manager.set_transition("ecs::task", {"progression": "manual", "times": 10**9})


class Aws:
    def __init__(self):
        self.inner = DomainDispatcherApplication(create_backend_app)
        self.lock, self.deploying = threading.Lock(), threading.Lock()
        self.calls, self.faults, self.tokens, self.keys, self.lacks = [], [], {}, {}, set()

    def __call__(self, environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ.get("PATH_INFO", "/")
        if path.startswith("/_test/"):
            try:
                answer = self.test(path.removeprefix("/_test/"), json.loads(body or b"{}"))
            except Exception:
                return self.reply(start_response, 500, traceback.format_exc(), "text/plain")
            return self.reply(start_response, 200, json.dumps(answer, default=str), "application/json")
        call = self.describe(environ, path, body)
        with self.lock:
            self.calls.append(call)
            fault = next((f for f in self.faults if f["times"] > 0 and self.matches(f, call)), None)
            if fault:
                fault["times"] -= 1
        if fault:
            if fault.get("after"):
                self.ask(environ)
            return self.refuse(start_response, call, fault.get("status", 400), fault["code"], "as the test asked")
        refused = self.forbidden(environ, call)
        if refused:
            return self.refuse(start_response, call, 403, *refused)
        if call["action"] == "RunTask":
            with self.lock:
                return self.run_task(environ, start_response, json.loads(body))
        if call["action"] == "CreateSecret" and self.has_grace(json.loads(body)["Name"]):
            why = "a secret with this name is already scheduled for deletion"
            return self.refuse(start_response, call, 400, "InvalidRequestException", why)
        if call["action"] == "AssumeRole":
            return self.assume_role(environ, start_response, body)
        if call["action"] == "StopTask":
            status, headers, content = self.ask(environ)
            if status.startswith("200"):
                # The agent ends at the first signal.
                self.end_task({"task": json.loads(body)["task"], "exit_code": 130, "stopped": True})
            start_response(status, headers)
            return [content]
        return self.inner(environ, start_response)

    # What a call is

    def describe(self, environ, path, body):
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        query = parse_qs(environ.get("QUERY_STRING", ""))
        credential = query.get("X-Amz-Credential", [""])[0]
        found = re.search(r"Credential=([^/]+)/[^/]*/[^/]*/([^/]+)/", authorization)
        key, service = (found.group(1), found.group(2)) if found else (credential.split("/")[0], "s3")
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target:
            fields = json.loads(body or b"{}")
            action = target.split(".")[-1]
            names = ["TableName", "QueueUrl", "SecretId", "taskDefinition", "task", "cluster", "logGroupName"]
            resource = next((fields[name] for name in names if isinstance(fields.get(name), str)), "")
            if action == "DescribeClusters":
                resource = next(iter(fields["clusters"]), "")
            if action == "TransactWriteItems":
                resource = next(iter(fields["TransactItems"][0].values()))["TableName"]
            if fields.get("IndexName"):
                resource += "/index/" + fields["IndexName"]
            return {"key": key, "service": service, "action": action, "resource": resource}
        if service != "s3":
            form = parse_qs(body.decode())
            action = form.get("Action", [""])[0]
            return {"key": key, "service": service, "action": action, "resource": form.get("RoleArn", [""])[0]}
        verbs = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
        action = verbs.get(environ["REQUEST_METHOD"], environ["REQUEST_METHOD"])
        if path.strip("/").count("/") == 0:
            action = {"PUT": "CreateBucket", "GET": "ListBucket"}.get(environ["REQUEST_METHOD"], action)
        return {"key": key, "service": "s3", "action": action, "resource": unquote(path.strip("/"))}

    @staticmethod
    def matches(fault, call):
        mine = call["key"].startswith(fault.get("prefix", ""))
        return mine and fault["service"] == call["service"] and fault.get("action") in (None, call["action"])

    # Who may

    def forbidden(self, environ, call):
        if call["service"] != "s3":
            return None
        query = parse_qs(environ.get("QUERY_STRING", ""))
        if "X-Amz-Date" in query:
            begun = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
            if time.time() > begun.timestamp() + int(query["X-Amz-Expires"][0]):
                return "AccessDenied", "Request has expired"
        known = self.keys.get(call["key"])
        if not known:
            return None
        if known.get("expired"):
            return "ExpiredToken", "The provided token has expired."
        policy = known.get("policy")
        if policy is None:
            return None
        action, arn = "s3:" + call["action"], "arn:aws:s3:::" + call["resource"]
        for statement in policy["Statement"]:
            lists = [[value] if isinstance(value, str) else value for value in (statement["Action"], statement["Resource"])]
            if any(fnmatch.fnmatchcase(action, a) for a in lists[0]) and any(fnmatch.fnmatchcase(arn, r) for r in lists[1]):
                return None
        return "AccessDenied", f"no session policy allows {action} on {arn}"

    # What moto leaves out

    def ask(self, environ):
        seen = {}

        def started(status, headers, exc_info=None):
            seen.update(status=status, headers=headers)

        content = b"".join(self.inner(environ, started))
        return seen["status"], seen["headers"], content

    @staticmethod
    def has_grace(name):
        """Whether a secret was deleted and may still be restored: AWS has another error for that than moto."""
        secret = secretsmanager_backends[ACCOUNT]["eu-west-1"].secrets.get(name)
        return secret is not None and secret.is_deleted()

    def run_task(self, environ, start_response, request):
        token = request.get("clientToken")
        known = self.tokens.get(token)
        if known:
            before, status, headers, content, arns = known
            if before == request:
                start_response(status, headers)
                return [content]
            text = {"__type": "ConflictException", "message": "The token was used with other parameters", "resourceIds": arns}
            return self.reply(start_response, 400, json.dumps(text), "application/x-amz-json-1.1")
        provider = next((one["capacityProvider"] for one in request.get("capacityProviderStrategy", [])), None)
        if (request.get("cluster"), provider) in self.lacks:
            answer = {"tasks": [], "failures": [{"arn": "cluster", "reason": "RESOURCE:CAPACITY"}]}
            return self.reply(start_response, 200, json.dumps(answer), "application/x-amz-json-1.1")
        status, headers, content = self.ask(environ)
        if token and status.startswith("200"):
            arns = [task["taskArn"] for task in json.loads(content).get("tasks", [])]
            self.tokens[token] = (request, status, headers, content, arns)
        start_response(status, headers)
        return [content]

    def assume_role(self, environ, start_response, body):
        status, headers, content = self.ask(environ)
        found = re.search(rb"<AccessKeyId>([^<]+)<", content)
        policy = parse_qs(body.decode()).get("Policy", [None])[0]
        if found and policy:
            self.keys[found.group(1).decode()] = {"policy": json.loads(policy)}
        start_response(status, headers)
        return [content]

    def end_task(self, how):
        for backends in ecs_backends[ACCOUNT].values():
            for tasks in backends.tasks.values():
                for arn, task in tasks.items():
                    if arn != how["task"]:
                        continue
                    if "status" in how:
                        task.last_status, task.held = how["status"], True
                        continue
                    if how.get("stopped") and getattr(task, "held", False):
                        task.last_status = "STOPPING"
                        continue
                    task.last_status = task.desired_status = "STOPPED"
                    task.stopped_reason = how.get("stopped_reason") or task.stopped_reason or "Essential container in task exited"
                    task.stop_code = how.get("stop_code", "EssentialContainerExited")
                    for container in task.containers:
                        container.exitCode = container.exit_code = how.get("exit_code")
                        container.reason = how.get("reason")
                        container.last_status = "STOPPED"

    # What tests ask

    def test(self, what, how):
        if what == "advance":
            for backend in sqs_models.sqs_backends[ACCOUNT].values():
                for name, queue in backend.queues.items():
                    if name.startswith(how["queues"]):
                        for message in queue._messages:
                            message.visible_at -= how["seconds"] * 1000
                            message.delayed_until -= how["seconds"] * 1000
        elif what == "fault":
            self.faults.append(how)
        elif what == "lack":
            place = (how["cluster"], how["provider"])
            self.lacks.add(place) if how["lack"] else self.lacks.discard(place)
        elif what == "task":
            self.end_task(how)
        elif what == "keys":
            known = self.keys.setdefault(how["access_key"], {})
            known.update({name: how[name] for name in ("policy", "expired") if name in how})
        elif what == "deploy":
            with self.deploying:
                return self.deploy(how)
        elif what.startswith("role/"):
            return {"AccessKeyId": what.removeprefix("role/"), "SecretAccessKey": "secret", "Token": "session"}
        elif what == "subnets":
            return [subnet.id for zone in ec2_backends[ACCOUNT]["eu-west-1"].subnets.values() for subnet in zone.values()]
        elif what == "calls":
            return self.calls
        return {}

    def deploy(self, how):
        def client(service):
            return boto3.client(
                service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name="eu-west-1",
                aws_access_key_id="deployer", aws_secret_access_key="secret",
            )

        plain, stack = translate(how["template"], for_moto=True), how["stack"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("bootstrap", "")
        s3 = client("s3")
        if "code" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_object(Bucket="code", Key="function.zip", Body=code.getvalue())
        ec2 = client("ec2")
        parameters = {
            "VpcId": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
            "SubnetIds": ",".join(subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]),
            **how["parameters"],
        }
        formation = client("cloudformation")
        formation.create_stack(
            StackName=stack, TemplateBody=json.dumps(plain), Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        made = formation.describe_stacks(StackName=stack)["Stacks"][0]
        if made["StackStatus"] != "CREATE_COMPLETE":
            raise RuntimeError(made)
        # moto's CloudFormation leaves a bucket's notifications out.
        outputs = {output["OutputKey"]: output["OutputValue"] for output in made.get("Outputs", [])}
        wanted = plain["Resources"]["Bucket"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
        s3.put_bucket_notification_configuration(
            Bucket=outputs["Bucket"],
            NotificationConfiguration={"QueueConfigurations": [
                {
                    "QueueArn": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{stack}-reports",
                    "Events": [one["Event"]],
                    "Filter": {"Key": {"FilterRules": one["Filter"]["S3Key"]["Rules"]}},
                }
                for one in wanted
            ]},
        )
        # moto would hand messages to the functions, which run nothing, and delete them: the tests do it.
        for backend in sqs_models.sqs_backends[ACCOUNT].values():
            for name, queue in backend.queues.items():
                if name.startswith(stack):
                    queue.lambda_event_source_mappings.clear()
        physical = {
            resource["LogicalResourceId"]: resource.get("PhysicalResourceId")
            for resource in formation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
        }
        iam, functions = client("iam"), client("lambda")
        kinds = {name: resource["Type"] for name, resource in plain["Resources"].items()}
        roles = {name: physical[name] for name, kind in kinds.items() if kind == "AWS::IAM::Role"}
        policies = {}
        for role in roles.values():
            names = iam.list_role_policies(RoleName=role)["PolicyNames"]
            # moto keeps a document of CloudFormation as Python prints it.
            documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
            documents = [ast.literal_eval(one) if isinstance(one, str) else one for one in documents]
            policies[role] = [statement for document in documents for statement in document["Statement"]]
        made = {}
        for name, kind in kinds.items():
            if kind == "AWS::Lambda::Function":
                found = functions.get_function_configuration(FunctionName=physical[name])
                made[name] = {"environment": found["Environment"]["Variables"], "role": found["Role"].split("/")[-1]}
        return {"functions": made, "policies": policies, "roles": roles, "outputs": outputs, "physical": physical}

    # Answers

    @staticmethod
    def reply(start_response, status, text, kind):
        start_response(f"{status} -", [("Content-Type", kind)])
        return [text.encode()]

    def refuse(self, start_response, call, status, code, message):
        if call["service"] in ("s3", "sts"):
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            if call["service"] == "sts":
                text = f"<ErrorResponse>{text}</ErrorResponse>"
            return self.reply(start_response, status, text, "application/xml")
        text = json.dumps({"__type": code, "message": message})
        return self.reply(start_response, status, text, "application/x-amz-json-1.0")


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args):
        pass


def main():
    os.environ.setdefault("MOTO_S3_CUSTOM_ENDPOINTS", "")
    host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    aws = Aws()
    server = make_server(host, 0, aws, threaded=True, request_handler=Quiet)
    aws.port = server.port
    print(server.port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()


main()
