"""Writes into a chat, by an incoming webhook of Slack or of what takes the same body."""

import json
import os
import urllib.request

from notice import this_notice

notice = this_notice()
text = f"*{notice.title}*\n{notice.text}"
for sign, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
    text = text.replace(sign, written)
request = urllib.request.Request(
    os.environ["SLACK_WEBHOOK"],
    json.dumps({"text": text}).encode(),
    {"Content-Type": "application/json"},
)
# Any answer but 2xx raises, so the task fails and is tried again.
urllib.request.urlopen(request, timeout=30).close()
