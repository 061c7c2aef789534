"""The HTTP face: carries requests to the methods of every API. An ASGI application on uvicorn's
protocol; knows no resource and no store."""
