-- Sends one signed body over and over, each time as another delivery: what is signed is the body, what tells deliveries
-- apart is a header. Prints the figures as JSON.
local threads = 0
function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init()
   local file = assert(io.open(os.getenv("LOAD_BODY"), "rb"))
   local body = file:read("*a")
   file:close()
   head = "POST /webhooks/github/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
      .. "User-Agent: GitHub-Hookshot/load\r\nAccept: */*\r\nX-GitHub-Event: issues\r\nX-Hub-Signature-256: "
      .. os.getenv("LOAD_SIGNATURE") .. "\r\nContent-Length: " .. #body .. "\r\nX-GitHub-Delivery: "
   tail = "\r\n\r\n" .. body
   round = os.getenv("LOAD_ROUND")
   sent = 0
end

function request()
   sent = sent + 1
   return head .. string.format("%s-%02d-%09d", round, number, sent) .. tail
end

function done(summary, latency)
   local bad = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"errors":%d,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\n',
      summary.requests, summary.duration / 1e6, bad.connect + bad.read + bad.write + bad.status + bad.timeout,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
