"""Sends a mail by SMTP; with encryption and a login where the environment has a user."""

import os
import smtplib
from email.message import EmailMessage

from notice import this_notice

notice = this_notice()
mail = EmailMessage()
mail["Subject"] = f"[jobrunner] {notice.title}"
mail["From"] = os.environ["MAIL_FROM"]
mail["To"] = os.environ["MAIL_TO"]
mail.set_content(notice.text)

host, _, port = os.environ["SMTP_SERVER"].partition(":")
with smtplib.SMTP(host, int(port or 25), timeout=30) as server:
    if "SMTP_USER" in os.environ:
        server.starttls()
        server.login(os.environ["SMTP_USER"], os.environ["SMTP_PASSWORD"])
    server.send_message(mail)
