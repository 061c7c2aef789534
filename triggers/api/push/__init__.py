"""The push ingress: requests of Pub/Sub, and who may send them."""
