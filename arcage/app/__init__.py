"""The page in the browser and the HTTP server (``docs/guide/app.md``, ``docs/guide/server.md``).

Starlette, Uvicorn and one static page without a build step. Nothing is loaded from elsewhere, and no other
machine is contacted.
"""
