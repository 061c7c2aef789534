-- wrk: POST an envelope whose message id nobody has used before, in place of MESSAGE_ID
local body, made = os.getenv("BODY"), 0
local stamp = os.getenv("STAMP")
local before, after = body:match("^(.-)MESSAGE_ID(.*)$")
local headers = { ["Content-Type"] = "application/json" }
request = function()
  made = made + 1
  return wrk.format("POST", nil, headers, before .. stamp .. made .. after)
end
dofile(os.getenv("REPORT"))
