"""The codec, as the container names it."""

from __future__ import annotations

import base64
import csv
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from arcage.video.codec import codec


def box(name: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return struct.pack(">I4s", 8 + len(body), name) + body


def handler(kind: bytes, of: bytes = b"mhlr") -> bytes:
    return box(b"hdlr", bytes(4), of, kind, bytes(12))


def track(medium: bytes, code: bytes) -> bytes:
    samples = box(b"stbl", box(b"stsd", bytes(4), struct.pack(">I", 1), box(code, bytes(78))))
    inside = box(b"minf", handler(b"url ", b"dhlr"), samples)
    return box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", handler(medium), inside))


def ogg(*packets: bytes) -> bytes:
    return b"".join(b"OggS\0\2" + bytes(20) + bytes((1, len(packet))) + packet for packet in packets)


# A box with a size of 64 bits.
LARGE = box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"moov", 16 + len(track(b"vide", b"hvc1")))
LARGE += track(b"vide", b"hvc1")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (box(b"ftyp", b"isom") + box(b"moov", track(b"soun", b"mp4a"), track(b"vide", b"av01")), "AV1"),
        (box(b"wide") + box(b"mdat", bytes(99)) + box(b"moov", track(b"vide", b"vvc1")), "VVC (H.266)"),
        (box(b"ftyp", b"qt  ") + box(b"moov", track(b"vide", b"apch")), "ProRes"),
        (box(b"ftyp", b"isom") + box(b"moov", track(b"vide", b"zzzz")), "zzzz"),
        (box(b"ftyp", b"isom") + box(b"moov", track(b"soun", b"mp4a")), ""),
        (LARGE, "HEVC (H.265)"),
        (b"\x1a\x45\xdf\xa3" + bytes(30) + b"\x86\x85V_AV1" + bytes(9), "AV1"),
        (b"\x1a\x45\xdf\xa3" + bytes(30) + b"\x86\x86A_OPUS\x86\x90V_MPEGH/ISO/HEVC", "HEVC (H.265)"),
        (ogg(b"\x01vorbis", b"\x80theora"), "Theora"),
        (ogg(b"\x01vorbis"), ""),
        (b"RIFF\0\1\0\0AVI LIST\0\0\0\0hdrlstrh\x38\0\0\0vidsAV01" + bytes(40), "AV1"),
        (b"G" + bytes(200) + b"\x05\x04AV01" + bytes(100), "AV1"),
        (b"FLV\1\1\0\0\0\x09\0\0\0\0\x90av01" + bytes(40), "AV1"),
        (b"hello\n" * 50, ""),
        (box(b"ftyp", b"isom") + struct.pack(">I4s", 3, b"moov"), ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_the_codec_is_read_from_the_container(data: bytes, name: str) -> None:
    assert codec(io.BytesIO(data)) == name
    for end in range(0, len(data), 7):
        codec(io.BytesIO(data[:end]))  # a cut file is no error


# By FFmpeg 9: a grey picture of 32x32 by libaom-av1, and a repeated one by libtheora, compressed with zlib.
UNDECODED = {
    "AV1": (
        "eNqNUjFPQjEQvvdYCJJIIoMmDI+ERBYSIDqamLgwOLjo5FJoX3ih5b20pYnGATd/hKubP4LB2Z/g7K8Qr+WRV0CNl17vrvfd"
        "Xa9XAIhifZclKhUAIVhJTLeHsi+ykx4AlGPJGMqmoERXKqiFx1/iYR7192qwQGuO/I78IdLUoJsLM6awQaVP3NoQgF0FBZuo"
        "bfsc/qQQV0dLMkH9Vk9czdIP2do7kf+pG+UM0GJUK5QNxpX2ItpFbPAiaEJshKDbvffdVa/fnNEZUy7XHpNQ5iNv0E4HZEo5"
        "s5jgSiTTGJW6ES6pf80WXfkaVLLYu1R1Jnm00oOa0kOO+qvSinqYZzvhX57CNh3BAOVgjdi/JGYU8WRIUtEhprcTcbhc2h1d"
        "F49QBf+PoFaJE8ZdmVpGVJbXtFwfapk/6MHTOpfS7rGhwIVWb2APo83zIg/67nPfUXE2Sj18F/lsRrUd0qlgTlpq+gPBIUqS"
        "Zdxvrpzg1L8B8YZh8A=="
    ),
    "Theora": (
        "eNqll3s8lNsaxw22uxjXSmhQcimJkMtmxAxCM+NSI2IwmGoYd0ruw4SITJLKdknu28j9OmhoJrmUkFQzuVUKIUpqzqtxPmef"
        "88fZf+zfZ63n+z5rPc9613rXev9YJ319Hbi4uf5HmhiHbyD12BA/bEAQhocbBEQAMXt/FUC7gAraLjyiZlzUk1uj/JeAPq5r"
        "Cy3iO7TYfxEpjjMkH9Dr44MnYH234mSAivX3CvDGBpnYYsK89l7AeXLi4jnIvy7CKAdUSiIl+QDytuDo3y8D46sdfLMebTpL"
        "bEYcO3NhVv2LX4XjAUk1FRfxn5HH8q76OAhG1DqpXb+iEr9LIMpYPp2vCBrb5qwuJcjrCQEa9ogkcXeZkQykZSZm9CI1M2gY"
        "rb4EcsOA55/OKfXmcUeyLAvE5q7nNo1iD+ek7kPlGmRZQa4l93SNM8/p7hSmeRaYXYMpiQMN1EcemlICCXFmNUv/VFTqZwgU"
        "ihgaYoEhSKQZkwm4SCSCBQJrA0SCwFsWiYRoc8ix/xEXlQKCZlKoQD4E2dVVwxwG3K4uKgukjaEMD3eBtQGPxRqGxlG6hgEC"
        "FgDwMPyLw1w1BaD4BJ0hKpWlXVTUQwDy4xOyHWJZYMyzo6E8LIinQzFsNGQ4XifkN5lk6R4p3pmw8JwkRyJtTZUPFqb9TwWB"
        "IDMLAEGgmC0UIDG/3AKO/XuBIZhlc3NzKAQar7RFTLyE+RaXt7y/FxQMiV/T09PThiCL928xrigJgN6R1S3v76WN/IeCAB8g"
        "MC6Tso2ubQxvY3gbw9tgbYO1DRYYDIYGFnSDOOCGcKCE5ACF5ACF5ACVyUFW4TYKQCAQNK6bO46DhG3wboMXxAEviAM+bg4E"
        "tiHAFXXWNeTy2cmPplrVNbt9VKOIcl3PJS8F9Vu2pOtTo2ckLNq7KFkbz1G6/dW08UTBR12f5G1zBjD1FaJp5ai27+FidCMS"
        "LtctlcKrlQlPqkBc8G6LDlrwPAWvi1QVXHeygqbMlgGo7o3XyX6aMGE83wyhMka9Am6bpiy1Saw0bqrKlygMz6Eserk/jPo4"
        "IM537DoIga/FXZT6TOlvVTZbQFyC3wnKw4fXnPpNPU2gQ4WdalkZJNZkYZTnvgDByYnQyH/o29tMI9YDDLO+OJIFVgzsyZXj"
        "h/RTwG5xxXH0t8mtoW/Y3r3L42r8D6h180bpms5eYrGMdNhVi6f0evbIveYXe05HKaryPqXXRRxk6nx4J+PM6+JFJ291CVYp"
        "tH3kG7Fk84x/uyzYnPhx44xHFWH/DbsQGmjWftHJKlZlbH6y3X5/zjnRgQcYiRF9YQ1RU5oCPJpQnpX92/Ad74dF7kRyKp1+"
        "bwJ+pylYPDlw4YLie7zlAYFqAm0ebUnOUHF/GQ7RG7l8M62nwHTDu2F3CkI5EY1uWflkPRs9kWjRXPPOxXvdXvjm18zBUGmU"
        "ZqX7gcuLsRNX2GMlETCla9geqcmJQ0bPIjyE59GlsR8U5KJaCuw1ztwNCiOtki2ewr+VwCRnZQeqqckr9wPxKXNDQudwfoSZ"
        "nXYaEyorrmn6/bubk9auk8d7mcov1/kDuX3rTqjecbyvozp0ENMkZqQntH8NrXRe9NOcBs3HY2bkoncTOyOlzKWba2PtsOT0"
        "5PmJQ7e7NauCQSwNzyvtWSbC6E6Wk1LOwwCjzTu9fprSk69iz9ni4bV0SftU9LHE3g2iY1qz4YDkpv8OcCJNtH7NzYjiViyX"
        "MyARKaMooI6CLQofX1MzrvK60neo8HgwoX834qW7T47GT6mm255PClW8E59+qurTv/OdufGcHE8isANzEI7qxUZ+gvcm7Pxm"
        "Wbf1qb/XbX7Z43baOTLxUz+FiVJCiJbkoHWJMXD+5oi6ng74qIa2r+K04EIAAu1mEy64oMz7pD7H+gixK6ZjB3EXa+JNuq3n"
        "T5CTqpLtTa9pvgUxz7rQZdlgEgPU8AB3KLz6B9az3Mq5PT+IX6xI4dAPrK/lctg0hqSLr3zBKDpAdGwE5cEmZtIaLwvyJBM/"
        "Stl9TaHhjAxd1kKiSOoo5kVtuXP0khBMTJhcgXO9yUO/FoUTe/PYzfxiR1+ZzKqq2JUm8YWmqjllBh+/j9GtvaQ4N+6iKP6t"
        "R66/0dQI/qdOqoar33vx/Tk4kyLuW2nMOpcOnjnFxtuiUhISDXnuUd1MuGzUDBprc/pBqEDUYyEnxZYkULCC3CgaFyFRgq+8"
        "Bc9XTR82KSRsfHDaUyu61XS39+dS2BVYtDym+6UQ099L5C3/4DcHRL3I1IMJPi/rvPOauYYdtbTXe3YyU0x6p9nVM79Z7vXW"
        "e65jO1OQLt+SUvvQVEHZJGtd5upQlWzpLt3+l66n7Uz9pMcdEKlTZccUs76HBBhIoww7E2d3Lv9eBynqHBIZ5psotjuUOfMe"
        "i33trza5QuwEySBegRhL1+w08CEDxoqtXlCs9+LFUtRXTyu95xrWDxikM02h76IxuzU2T3nkkytaoYjX9w7zny9kNt5/TTpB"
        "F3lSb/P0wk0WO1ltBFZLabdBLIFXVc52pUIaym75av2kHrNviX9TEUGR9WI4Gaho2VDxZdlPdHqn10jIYK4vyxmjzrDFqj6y"
        "mswP5Xwr8crKNNnrR3B5PPjA1p+F8vdPwOVIA+bvU/t3eeLy8H6NL6TNUIYLNJw1+yvxod2mVAZGt6hUcJwQk9NzKQ29gvaw"
        "sLKZwHstPh4dUS9uetzJfXhrYdd1Hd2XoufHRLShzfiUR5G3naxgVjY4HXxw4bomAbLCDGNofVL40vv2UuUpLiHtztVNaknB"
        "uUXQ3v6nPhOPb4CVF7rrtC4afA9sHnpI1y7B15Nhglpwxi2S2O+VNfmNjTJLMVLKgcb5x644qQicjKmrpbxBNgnx4NG6gzKS"
        "WjcW+aZW5+OAtMMFN/SfqPjtOIndkCi3OHmwCvPGVUDCIJtIH/ux4GSN9TYPZjWU7zzb9Fgm97vOYy/+s59t7o/Gx27tRPGA"
        "cSSkY1rsVQ1WPP+x9IJaGU8yIkNyuZrqLv/mIMLDah9Ou6F5Js3udeumA2JxzplqopxKJt/1N99sV+ZTxmP34+6ekhymotGy"
        "iLJS5aimtiO5JUFX6/sE91QV8jx5nTG3GHuVAX+2UZ7ZeU08OxxMS+merujNbRjp9jnNDoC2nY0fY4f3EcnxTj2aLj74ch/Z"
        "Qbia4V64ULkNMq/1gxI3XEa6eZ9wCSZmCm9LweUzZAZZH49Ko2LT0KenoumuV7Lt8RXspNN1/S2jsl/eS9Ih4sb1dlDRgRjV"
        "wyqSwPFFB/W1Cq0LKVvGDMhf3NFpbyVavzVFSvf3cgeuz4PdpKpJSl/5wFSiA1LsXttXM1gB5ABwKGz3Y6+u+yuu01LoP0PF"
        "YaAbB3WAn0R4IWeVHVRbf1QgKvaVhKVMO2Ge8p5u/uxbwq/Jz8oOvn6nrhbxtvuof9YmUSohgg4hxRIMRQi+mRfmF2y/jsG/"
        "BxV1ntCIVC+Hfc46DuZihuxkDiq9GJvM/VydsTYDj77hvOzkeHVKJUkJRH2n3XXX8sGfzTpTboqfGOk/NKumy8ukUYT8UpDE"
        "ku0zHTyWATM4/pZBa+tYdXshr7gg7JV0T8u18w+0K38ekS6yM60El9tQ+8aUP0bpndjcHMNJs1IRKVvFMiNYnc0GFmmd60V8"
        "VXRmCI1mjD37CmOp4n/sNQ+Jzj6ce0PjiQ6+asSipPD6o7jV1bCpfPNW5Vj/g6a7PJ8d8ZHNOx/Sbi1qLnXS+ZRNMU+kAmgZ"
        "u25fd77oRxrBN7utlVBU+ki8SEXQcrSmLddi7rLpBs3j5SljINfkx/I+R/L/2T3OncbsL3earWsSOmf6DojPlJ+vwozrVwSv"
        "+V8ieIC6DyeNBSL/Bd+6JNM="
    ),
}


@pytest.mark.parametrize("name", UNDECODED)
def test_a_codec_that_cannot_be_decoded_is_named(
    name: str, arcage: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(zlib.decompress(base64.b64decode(UNDECODED[name])))
    (row,) = csv.DictReader(io.StringIO(arcage("predict", path).stdout))
    capture = cv2.VideoCapture(str(path))
    if capture.read()[0]:  # wheels differ: 4.12 decodes this Theora, 4.14 AV1, and 5.0 neither
        assert (row["status"], row["error"]) == ("no_face", "")
        return
    assert row["status"] == "unreadable"
    assert row["error"] == (
        f"OpenCV cannot decode the codec of this video, {name}: convert it, as in "
        "ffmpeg -i video.mp4 -c:v libx264 converted.mp4"
    )
