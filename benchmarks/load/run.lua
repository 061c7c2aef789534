-- wrk: POST BODY to one path; prints one line of JSON at the end
wrk.method = "POST"
wrk.body = os.getenv("BODY") or "{}"
wrk.headers["Content-Type"] = "application/json"
dofile(os.getenv("REPORT"))
