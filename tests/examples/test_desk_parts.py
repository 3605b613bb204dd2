"""The desk's smaller parts: pictures, texts, the command line, and the files that come with it."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from desk.cli import main
from desk.markup import clean_html, html_to_markdown, markdown_to_html
from desk.png import Canvas
from desk.store import Store
from tests.examples.conftest import Counter

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_images_are_png_of_the_right_size(counter: Counter) -> None:
    """A picture is a PNG: of the whole design or of one node, at a scale from 1 to 3."""
    api = counter.api()
    whole = await api.get("/designs/HC-D7/image.png", params={"scale": 1})
    assert whole.headers["content-type"] == "image/png"
    assert read_png(whole.content)[:2] == (360, 640)
    width, height, rows = read_png((await api.get("/designs/HC-D7/nodes/6:1/image.png")).content)
    assert (width, height) == (640, 96)
    assert rows[4][320 * 3 : 321 * 3] == bytes.fromhex("c2410c")
    assert (await api.get("/designs/HC-D7/image.png", params={"scale": 9})).status_code == 422


def test_canvas_cuts_off_what_is_beyond_it() -> None:
    """Drawing beyond the edges changes nothing else and breaks nothing."""
    canvas = Canvas(4, 3)
    canvas.rectangle(-5, -5, 7, 7, (0, 0, 0), radius=2)
    canvas.text(2, -3, "Ä?", (0, 0, 0), pixel=1)
    width, height, rows = read_png(canvas.png())
    assert (width, height, len(rows[0])) == (4, 3, 12)


def read_png(data: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of a PNG, its checksums checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks[kind] = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + chunks[kind])
        at += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    pixels = zlib.decompress(chunks[b"IDAT"])
    step = 1 + width * 3
    return width, height, [pixels[row * step + 1 : (row + 1) * step] for row in range(height)]


def test_the_shop_passes_its_own_tests() -> None:
    """The sample shop works, but for what was reported."""
    run = subprocess.run(
        [sys.executable, "-m", "unittest"], cwd=EXAMPLES / "harbour", capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("<img src=x onerror=alert(1)>hi", "hi"),
        ('<a href="javascript:alert(1)">x</a>', "<a>x</a>"),
        ("<svg><script>1</script></svg>ok", "ok"),
        ("<b><i>a</b>b", "<b><i>a</i></b>b"),
        ("</div></p>&lt;b&gt;", "&lt;b&gt;"),
        ("<!-- x --><?php 1 ?>y", "y"),
        ("<style>p{}</style><p style='x'>z", "<p>z</p>"),
    ],
)
def test_html_is_made_harmless(dirty: str, clean: str) -> None:
    """Nothing that could act, load or restyle comes through, and tags are closed."""
    assert clean_html(dirty) == clean


def test_markdown_survives_the_way_through_html() -> None:
    """What is written as Markdown can be read as Markdown again."""
    written = "`a < b`:\n\n1. **one**\n2. [two](https://x.example/?a=1&b=2)\n\n```\nif a:\n    pass\n```"
    assert html_to_markdown(clean_html(markdown_to_html(written))) == written


def test_seed_prints_tokens_that_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`desk seed --json` fills an empty desk and prints tokens; doing it again keeps data and tokens."""
    assert main(["seed", "--data", str(tmp_path), "--port", "1234", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    main(["seed", "--data", str(tmp_path), "--json", "--fixed-tokens"])
    second = json.loads(capsys.readouterr().out)
    assert first["api"] == "http://127.0.0.1:1234/api/v1"
    assert second["tokens"]["acme"]["codex"] == "desk_demo_acme_codex"
    store = Store(tmp_path / "desk.sqlite")
    for text in (first["tokens"]["globex"]["codex"], "desk_demo_globex_codex"):
        token = store.token(text)
        assert token
        assert token.user
        assert (token.user.org, token.user.login) == ("globex", "codex")
    assert len(store.query("select * from tickets")) == 18
    store.close()
    main(["seed", "--data", str(tmp_path), "--reset"])
    store = Store(tmp_path / "desk.sqlite")
    assert store.token("desk_demo_acme_codex") is None
    store.close()


def test_it_binds_to_loopback_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pages without passwords are not offered to the network by mistake."""
    with pytest.raises(SystemExit) as ended:
        main(["--host", "0.0.0.0", "--data", str(tmp_path)])
    assert ended.value.code == 2
    assert "--let-anyone-in" in capsys.readouterr().err


@pytest.mark.parametrize("how", [["-m", "desk"], [str(EXAMPLES / "desk")]])
def test_it_runs_by_name_and_by_path(tmp_path: Path, how: list[str]) -> None:
    """`python -m desk` from examples/ and `python examples/desk` from anywhere are the same."""
    arguments = [sys.executable, *how, "seed", "--data", str(tmp_path / "d"), "--json"]
    folder = EXAMPLES if how[0] == "-m" else tmp_path
    run = subprocess.run(arguments, cwd=folder, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    assert json.loads(run.stdout)["tokens"]["acme"]["codex"].startswith("desk_")


def test_tools_yaml_is_good() -> None:
    """The top-level tools.yaml declares the desk without a mistake, no variable set."""
    from linkspan import spec

    assert [str(problem) for problem in spec.check([EXAMPLES.parent / "tools.yaml"], {})] == []
