"""Events, what is done with them, and the services that get them: ingress and our own API."""
