-- one line of JSON: requests answered, microseconds, errors, latency in milliseconds
done = function(s, l, r)
  local e = s.errors
  io.write(string.format('\n{"requests":%d,"us":%d,"errors":%d,"p50":%.3f,"p99":%.3f}\n', s.requests, s.duration,
    e.status + e.connect + e.read + e.timeout, l:percentile(50) / 1000, l:percentile(99) / 1000))
end
