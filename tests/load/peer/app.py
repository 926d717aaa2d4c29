"""What the webhook is measured beside: the receiver that a Python team would write, at its best.

FastAPI on uvicorn (uvloop, httptools), the signature checked over the raw bytes, the delivery handed to Celery, whose broker is
a Redis that syncs each write before it answers. It parses nothing and knows no duplicates, which is less than ours does.
"""

import hashlib
import hmac
import os

from celery import Celery
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

SECRET = os.environ["LOAD_SECRET"].encode()
THREADS = os.environ.get("LOAD_THREADS") == "1"

queue = Celery(broker=os.environ["LOAD_REDIS"])
queue.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True, broker_pool_limit=16)
app = FastAPI(openapi_url=None)


@queue.task(name="handle")
def handle(delivery, event, payload):
    pass


@app.get("/healthz")
async def healthz():
    return Response()


@app.post("/webhooks/github/")
async def receive(request: Request):
    body = await request.body()
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("x-hub-signature-256", "")):
        return Response(status_code=401)
    arguments = request.headers["x-github-delivery"], request.headers["x-github-event"], body.decode()
    if THREADS:
        await run_in_threadpool(handle.delay, *arguments)
    else:
        handle.delay(*arguments)
    return Response(status_code=202)
