"""Open the fsspec file system of a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from arcage.errors import ArcageError, ImageError, RemoteError, UsageError
from arcage.sources.failures import ABSENT, archive_errors, error_text, unreachable
from arcage.sources.url import WRAPPERS, is_http, url_links, url_scheme

_REQUEST_SECONDS = 120
"""Time limit of a request to a server other than HTTP, seconds, including the retries of its package."""

_MAX_LINKS = 10
"""Maximum number of URLs in a chain: fsspec opens one inside the other."""


@dataclass(frozen=True, slots=True)
class Location:
    """An object or folder in an fsspec file system."""

    url: str
    system: Any
    """The file system, an ``fsspec.AbstractFileSystem``."""
    key: str
    """The object's name in the file system."""

    @property
    def is_local(self) -> bool:
        """Whether the object is a file on this machine."""
        protocol = self.system.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    @property
    def timeout(self) -> dict[str, float]:
        """Keyword arguments of a request that limit its time.

        Without them, s3fs and botocore wait many minutes for a server that does not respond.
        """
        is_plain = getattr(self.system, "async_impl", False) and len(url_links(self.url)) == 1
        return {"timeout": _REQUEST_SECONDS} if is_plain and not is_http(self.url) else {}


def check_scheme(url: str) -> None:
    """Check that a URL can be opened, without a request to a server.

    Raises:
        UsageError: the scheme is unknown, or a chained URL is incomplete.
        RemoteError: the package for the scheme is not installed.
    """
    for link in _links(url):
        _filesystem_class(link, url)


def locate(url: str) -> Location:
    """Return the file system and key of a URL. This opens the archive of a chained URL.

    Raises:
        FileNotFoundError, IsADirectoryError, NotADirectoryError: there is no such archive.
        ImageError: the address is invalid, or the archive is damaged.
        UsageError, RemoteError: as :func:`check_scheme`, or the server of the archive cannot be reached.
    """
    links = [re.sub(r"^[^:/]+(?=://|$)", lambda match: match[0].lower(), link) for link in _links(url)]
    classes = [_filesystem_class(link, url) for link in links]
    if is_http(url):
        from arcage.sources import http

        http.check_address(url)
    import fsspec

    try:
        if len(links) > 1:
            return Location(url, *fsspec.core.url_to_fs("::".join(links)))
        # Not url_to_fs, which would split an HTTP URL that contains "::". Listings are not cached, because
        # each folder is listed once.
        options = {"use_listings_cache": False, **classes[0]._get_kwargs_from_urls(links[0])}
        if is_http(url):
            options |= http.filesystem_options(classes[0], links[0])
        system = fsspec.filesystem(url_scheme(links[0]), **options)
        return Location(url, system, classes[0]._strip_protocol(links[0]))
    except (*ABSENT, ArcageError):
        raise
    except archive_errors(url) as error:
        raise ImageError(f"the archive cannot be read: {error_text(error)}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"cannot open {url}: {error_text(error)}") from error
    except Exception as error:
        raise unreachable(url, error_text(error)) from error


def _links(url: str) -> list[str]:
    links = url_links(url)
    if len(links) > _MAX_LINKS:
        raise UsageError(f"cannot open {url[:200]}: more than {_MAX_LINKS} links in a chain")
    return links


def _filesystem_class(link: str, url: str) -> Any:
    """Return the fsspec class for one link of a URL; None for a local path."""
    scheme = url_scheme(link)
    if "://" not in link and scheme not in WRAPPERS:
        return None
    try:
        import fsspec
    except ImportError:
        raise RemoteError(f"cannot open {url}: this needs fsspec: pip install 'arcage[remote]'") from None
    if scheme in WRAPPERS and link == url_links(url)[-1]:
        raise UsageError(
            f"cannot open {url}: say which file {scheme}:// opens, as in {scheme}://photo.jpg::photos.{scheme}"
        )
    try:
        return fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        # fsspec's message names the package.
        raise RemoteError(
            f"cannot open {url}: {error}; for s3:// and https://: pip install 'arcage[remote]'"
        ) from None
    except ValueError:
        raise UsageError(f"cannot open {url}: fsspec does not support {scheme}://") from None
