"""Two functions as they are deployed to Cloud Run functions; nothing in them knows of jobrunner."""

import base64

import functions_framework


@functions_framework.http
def take_message(request):
    """Gets the push requests of a Pub/Sub subscription."""
    message = request.get_json()["message"]
    text = base64.b64decode(message["data"]).decode()
    print(f"message {message['messageId']}: {text}, {message.get('attributes', {})}", flush=True)
    return "", 204


@functions_framework.cloud_event
def take_event(event):
    """Gets the events of an Eventarc trigger."""
    print(f"event {event['id']}: {event['type']} of {event['subject']}: {event.data}", flush=True)
