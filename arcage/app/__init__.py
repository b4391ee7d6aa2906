"""The page in the browser and the HTTP endpoint that it uses (``docs/guide/app.md``).

Starlette, Uvicorn and one static page without a build step. Nothing is loaded from elsewhere, and no other
machine is contacted.
"""
