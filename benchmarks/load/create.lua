-- wrk: POST BODY with a name that nobody has used before in place of NAME
local body, made = os.getenv("BODY"), 0
local prefix = "j" .. os.getenv("STAMP") .. "-"
request = function()
  made = made + 1
  return wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, (body:gsub("NAME", prefix .. made)))
end
dofile(os.getenv("REPORT"))
