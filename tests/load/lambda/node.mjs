// What the webhook function is measured against: verifies GitHub's signature and sends the delivery to SQS, with Node.js and the AWS SDK
// for JavaScript. Speaks Lambda's runtime API by itself, which costs less than AWS's own Node runtime does.
import { createHmac, timingSafeEqual } from "node:crypto";
import { SQSClient, SendMessageCommand } from "@aws-sdk/client-sqs";

const { AWS_LAMBDA_RUNTIME_API, QUEUE, GITHUB_WEBHOOK_SECRET } = process.env;
const sqs = new SQSClient({});

async function handle(event) {
  const body = event.isBase64Encoded ? Buffer.from(event.body, "base64") : Buffer.from(event.body ?? "");
  const wanted = Buffer.from(`sha256=${createHmac("sha256", GITHUB_WEBHOOK_SECRET).update(body).digest("hex")}`);
  const given = Buffer.from(event.headers["x-hub-signature-256"] ?? "");
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return { statusCode: 401, body: "{}" };
  JSON.parse(body);
  await sqs.send(new SendMessageCommand({ QueueUrl: QUEUE, MessageBody: body.toString() }));
  return { statusCode: 202, body: "{}" };
}

const api = `http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
for (;;) {
  const next = await fetch(`${api}/next`);
  const id = next.headers.get("lambda-runtime-aws-request-id");
  const answer = await handle(await next.json());
  await fetch(`${api}/${id}/response`, { method: "POST", body: JSON.stringify(answer) });
}
