"""MobileStyleGAN's IR files: read, compared with OpenVINO's run, refused where they are not."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import ir_writers
import numpy as np
import pytest
import torch
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from latentedit.checkpoints import convert, ir, ir_files, openvino
from latentedit.checkpoints.openvino import read_ir
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from latentedit.io.files import sha256
from latentedit.pretrained.bundles import load_generator
from latentedit.pretrained.cache import SOURCES
from latentedit.pretrained.hashing import weights_hash

CONFIG = MobileStyleGANConfig(widths=(16, 8, 4), mapping=2, style=12)

WHEEL = os.environ.get("LATENTEDIT_WHEEL", "")


def network_of(config: MobileStyleGANConfig = CONFIG) -> MobileStyleGAN:
    """Random weights, noise and biases included, at which pictures are of a usual size."""
    torch.manual_seed(3)
    network = MobileStyleGAN(config).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("noise", "bias")):
                value.normal_()
    return network


@pytest.fixture(scope="module")
def network() -> MobileStyleGAN:
    return network_of()


@pytest.fixture(scope="module")
def files(network: MobileStyleGAN) -> dict[str, bytes]:
    return ir_writers.ir_files(network)


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path) -> Path:
    return ir_writers.write_folder(tmp_path / "ir", files)


@pytest.fixture
def short_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where thousands of files are read, their means need not be good ones."""
    monkeypatch.setattr(openvino, "MEAN_OVER", 1024)


def without_mean(network: MobileStyleGAN) -> dict[str, torch.Tensor]:
    return {name: value for name, value in network.state_dict().items() if name != "mean"}


def assert_same(found: MobileStyleGAN, wanted: MobileStyleGAN) -> None:
    state = without_mean(wanted)
    for name, value in without_mean(found).items():
        assert torch.equal(value, state.pop(name)), name
    assert state == {}


def test_all_that_was_written_is_read(network: MobileStyleGAN, folder: Path) -> None:
    found = read_ir(folder)
    assert found.config == CONFIG
    assert not found.training
    assert_same(found, network)


@pytest.mark.parametrize("scale", [None, 0.25])
def test_scales_are_folded_in(network: MobileStyleGAN, folder: Path, scale: float | None) -> None:
    xml, weights = ir_writers.synthesis_files(network, scale)
    (folder / "SynthesisNetwork.xml").write_bytes(xml)
    (folder / "SynthesisNetwork.bin").write_bytes(weights)
    assert_same(read_ir(folder), network)


@pytest.mark.parametrize(
    "config",
    [
        MobileStyleGANConfig(widths=(4, 4), mapping=1, style=3),
        MobileStyleGANConfig(widths=(4, 8, 16, 8), mapping=5, style=8),
    ],
)
def test_sizes_come_from_the_shapes(config: MobileStyleGANConfig, tmp_path: Path) -> None:
    network = network_of(config)
    found = read_ir(ir_writers.write_folder(tmp_path, ir_writers.ir_files(network)))
    assert found.config == config
    assert_same(found, network)


def test_wheel_folder_and_either_xml_are_the_same(
    files: dict[str, bytes], folder: Path, tmp_path: Path
) -> None:
    wheel = ir_writers.write_wheel(tmp_path / "tiny_face-1.0-py3-none-any.whl", files)
    names = {weights_hash(read_ir(folder))}
    names.add(weights_hash(read_ir(wheel)))
    names.add(weights_hash(read_ir(folder / "MappingNetwork.xml")))
    names.add(weights_hash(read_ir(folder / "SynthesisNetwork.xml")))
    assert len(names) == 1


def test_names_of_files_do_not_matter(
    files: dict[str, bytes], network: MobileStyleGAN, folder: Path
) -> None:
    for old, new in (("MappingNetwork", "b"), ("SynthesisNetwork", "a")):
        for suffix in (".xml", ".bin"):
            (folder / f"{old}{suffix}").rename(folder / f"{new}{suffix}")
    assert_same(read_ir(folder), network)


def test_of_openvino(network: MobileStyleGAN, folder: Path) -> None:
    """OpenVINO's own run of the files that the reader reads."""
    mapping, synthesis = compiled(folder)
    found = read_ir(folder)
    z = latents.sample(range(3), CONFIG.style)
    for row in z:
        w = mapping(row[None])[0]
        images = synthesis(w)[0]
        with torch.inference_mode():
            np.testing.assert_allclose(found.map(torch.from_numpy(row[None])), w, atol=1e-5)
            drawn = found(torch.from_numpy(w)).numpy()
        assert images.shape == (1, 3, CONFIG.resolution, CONFIG.resolution)
        np.testing.assert_allclose(drawn, images, atol=1e-5 * max(1, np.abs(images).max()))


def compiled(folder: Path) -> list[Callable]:
    """Both networks as OpenVINO runs them."""
    runtime = pytest.importorskip("openvino")
    core = runtime.Core()
    return [
        core.compile_model(
            str(folder / f"{name}Network.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        for name in ("Mapping", "Synthesis")
    ]


@pytest.mark.skipif(not WHEEL, reason="LATENTEDIT_WHEEL names no wheel of random-face")
def test_of_the_published_wheel(tmp_path: Path) -> None:
    """OpenVINO's run of the published files, faces of 1024 pixels, in steps of 255."""
    found = read_ir(WHEEL)
    assert found.config == MobileStyleGANConfig()
    assert weights_hash(found) == SOURCES["ffhq1024"].weights_hash
    with zipfile.ZipFile(WHEEL) as archive:
        for name in SOURCES["ffhq1024"].files:
            (tmp_path / name).write_bytes(archive.read(f"random_face/data/{name}"))
    mapping, synthesis = compiled(tmp_path)
    for row in latents.sample(range(3)):
        with torch.inference_mode():
            w = found.map(torch.from_numpy(row[None]))
            np.testing.assert_allclose(w, mapping(row[None])[0], atol=1e-4)
            drawn = found(w).numpy()
        difference = np.abs(drawn - synthesis(w.numpy())[0]) * 127.5
        assert difference.mean() <= 0.5
        assert difference.max() <= 8


# The mean ---------------------------------------------------------------------------------------


def dense_of(network: MobileStyleGAN) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in network.mapping
    ]


def test_the_mean_is_that_of_w(network: MobileStyleGAN) -> None:
    mean = openvino.mean_of_w(dense_of(network))
    with torch.inference_mode():
        w = network.map(torch.from_numpy(latents.sample(range(1000), CONFIG.style))).numpy()
    assert np.all(np.abs(mean - w.mean(0)) < 6 * w.std(0) / 1000**0.5 + openvino.MEAN_STEP)


def test_the_mean_is_the_same_whatever_sums_are_like(
    network: MobileStyleGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = dense_of(network)
    mean = openvino.mean_of_w(dense)
    np.testing.assert_array_equal(mean.astype(np.float32), mean)
    np.testing.assert_array_equal(mean % openvino.MEAN_STEP, 0)
    with threadpool_limits(1):
        np.testing.assert_array_equal(openvino.mean_of_w(dense), mean)
    other = np.random.RandomState(5).permutation(CONFIG.style)  # sums in another order
    mixed = [(dense[0][0], dense[0][1])]
    mixed[0] = (dense[0][0][other], dense[0][1][other])
    mixed += [(dense[1][0][:, other], dense[1][1])]
    np.testing.assert_array_equal(openvino.mean_of_w(mixed), mean)


# Refused ----------------------------------------------------------------------------------------


def refused(source: Path) -> str:
    with pytest.raises(LatentEditError) as caught:
        read_ir(source)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


LAUGHS = "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10)
)  # a billion


@pytest.mark.parametrize(
    ("prefix", "inside"),
    [
        (f"<!DOCTYPE net [{LAUGHS}]>", "&l9;"),
        ('<!DOCTYPE net [<!ENTITY secret SYSTEM "file:///etc/passwd">]>', "&secret;"),
        ('<!DOCTYPE net SYSTEM "http://127.0.0.1:9/x.dtd">', ""),
        ('<!DOCTYPE net [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>', ""),
    ],
)
def test_entities(folder: Path, prefix: str, inside: str) -> None:
    path = folder / "MappingNetwork.xml"
    text = path.read_text().replace('<?xml version="1.0" ?>', prefix)
    path.write_text(text.replace("<dim>1</dim>", f"<dim>{inside}1</dim>", 1))
    assert "no document type or entities" in refused(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<net version='10'>" + "<a>" * 100_000, "nested too deep"),
        ("<net version='10'>" + "<a/>" * 100_000 + "</net>", "too many elements"),
        ("<net version='10'><layers>" + "x" * ir.LARGEST_XML, "larger than"),
        ("<net version='10'/>", "has no layers"),
        ("<net version='10'><layers/></net>", "has no layers"),
        ("<net version='7'/>", "version '7'"),
        ("<html/>", "root is 'html'"),
        ("", "is no XML"),
        ("<net", "is no XML"),
        ("<net version='10'>&nbsp;</net>", "is no XML"),
        ("<net version='10'><a b='1' b='2'/></net>", "is no XML"),
        ("<net version='10'><layers>" + "<layer id='1'/>" * 2 + "</layers></net>", "two layers"),
        ("<net version='10'><layers><layer id='-1'/></layers></net>", "whole number"),
        ("<net version='10'><layers><layer/></layers></net>", "whole number"),
        (f"<net version='10'><layers><layer id='{'9' * 5000}'/></layers></net>", "whole number"),
    ],
)
def test_hostile_or_broken_xml(folder: Path, text: str, words: str) -> None:
    (folder / "MappingNetwork.xml").write_text(text)
    assert words in refused(folder)


def changed(path: Path, pattern: str, to: str, count: int = 1) -> None:
    text, found = re.subn(pattern, to, path.read_text(), count=count)
    assert found, pattern
    path.write_text(text)


STRAY = '<edge from-layer="0" from-port="0" to-layer="0" to-port="5"/>'


@pytest.mark.parametrize(
    ("pattern", "to", "words"),
    [
        (r'offset="\d+"', 'offset="-4"', "whole number"),
        (r'offset="\d+"', 'offset="99999999999"', "ends at"),
        (r'size="576"', 'size="572"', "do not hold"),
        (r'offset="\d+" size="576"', 'offset="1" size="576"', "overlap"),
        (r'shape="12, 12"', 'shape="144"', "shape"),
        (r'shape="12, 12"', 'shape="' + "1, " * 9 + '144"', "axes"),
        (r'shape="12, 12"', 'shape="24, 6"', "wrong"),
        (r'shape="12, 12"', 'shape="12, x"', "whole number"),
        (r'element_type="f32" shape="12, 12"', 'element_type="f16" shape="12, 24"', "type f32"),
        (r'element_type="f32" shape="12, 12"', 'element_type="u1" shape="12, 12"', "a constant"),
        (r'element_type="f32" shape="12, 12"', 'element_type="i32" shape="12, 12"', "type f32"),
        (r'transpose_b="true"', 'transpose_b="false"', "transpose_b"),
        (r'type="PReLU"', 'type="Relu"', "PReLU"),
        (r'type="PReLU"', 'type="&lt;&#10;x"', "PReLU"),
        (r'<edge from-layer="\d+"', '<edge from-layer="9999"', "nothing feeds"),
        (r'from-port="\d+"', 'from-port="77"', "nothing feeds"),
        (r'to-port="\d+"', 'to-port="77"', "nothing feeds"),
        (r"<edge [^/]*/>", "", "nothing feeds"),
        (r"(<edge [^/]*/>)", r"\1\1", "fed twice"),
        (r"(<edge [^/]*)to-layer=\"\d+\"", r'\1to-layer="9999"', "nothing feeds"),
        (r"</edges>", f'{STRAY}</edges>', "no input"),
    ],
)  # fmt: skip
def test_damaged_graphs(folder: Path, pattern: str, to: str, words: str) -> None:
    changed(folder / "MappingNetwork.xml", pattern, to)
    assert words in refused(folder)


@pytest.mark.parametrize(
    ("pattern", "to", "words"),
    [
        (r'strides="2, 1"', 'strides="1, 1"', "strides"),
        (r'pads_begin="1, 1"', 'pads_begin="0, 0"', "pads_begin"),
        (r'auto_pad="explicit"', 'auto_pad="valid"', "auto_pad"),
        (r'shape="1, 1, 4, 4"', 'shape="1, 4, 2, 2"', "first.noise"),
        (r'shape="16, 16, 3, 3"', 'shape="2304"', "kernel"),
        (r'shape="16, 16, 3, 3"', 'shape="1, 256, 3, 3"', "multiples of four"),
        (r'shape="16, 16, 3, 3"', 'shape="256, 1, 3, 3"', "first.weight"),
        (r'type="Squeeze"', 'type="Reshape"', "Squeeze"),
        (r"<dim>3</dim>", "<dim>4</dim>", "synthesis"),
    ],
)
def test_other_layers(folder: Path, pattern: str, to: str, words: str) -> None:
    changed(folder / "SynthesisNetwork.xml", pattern, to, count=0 if "dim" in pattern else 1)
    assert words in refused(folder)


def test_a_circle(folder: Path) -> None:
    path = folder / "MappingNetwork.xml"
    text = path.read_text()
    source = re.search(r'id="(\d+)" name="[^"]*" type="Multiply"', text)
    last = re.findall(r'id="(\d+)" name="[^"]*" type="Multiply"', text)[-1]
    assert source
    first = re.search(rf'<edge from-layer="\d+" from-port="\d+" to-layer="{source[1]}" ', text)
    assert first
    path.write_text(
        text.replace(first[0], f'<edge from-layer="{last}" from-port="2" to-layer="{source[1]}" ')
    )
    assert "circle" in refused(folder)


@pytest.mark.parametrize("name", ["MappingNetwork.bin", "SynthesisNetwork.bin"])
def test_a_truncated_bin(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-5])
    assert "ends at" in refused(folder)
    path.write_bytes(b"")
    assert "has 0 bytes" in refused(folder)


def test_values_that_are_no_numbers(folder: Path) -> None:
    path = folder / "SynthesisNetwork.bin"
    data = bytearray(path.read_bytes())
    data[-8:-4] = struct.pack("<f", float("nan"))
    path.write_bytes(data)
    assert re.search("NaN or infinity|inverse Haar", refused(folder))


def test_a_large_network_of_few_bytes(tmp_path: Path) -> None:
    """Layers that share their weights would take memory without end."""
    network = network_of(MobileStyleGANConfig(widths=(4, 4), mapping=24, style=128))
    weight = network.mapping[0].weight.detach()
    for layer in network.mapping:
        layer.weight.data = weight
    folder = ir_writers.write_folder(tmp_path, ir_writers.ir_files(network))
    assert (folder / "MappingNetwork.bin").stat().st_size < 100_000
    assert "share their weights" in refused(folder)


def test_zeros_may_be_stored_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = MobileStyleGAN(CONFIG)
    found = read_ir(ir_writers.write_folder(tmp_path, ir_writers.ir_files(network)))
    assert_same(found, network)


def test_another_network_is_told_by_its_shapes(tmp_path: Path) -> None:
    classifier = ir_writers.IrWriter("age-classifier")
    x = classifier.layer("Parameter", [], (1, 3, 62, 62), data={"element_type": "f32"})
    weight = classifier.constant("kernel", np.zeros((8, 3, 3, 3)))
    classifier.layer("Result", [classifier.convolution(x, weight, 1)])
    xml, weights = classifier.files()
    (tmp_path / "age.xml").write_bytes(xml)
    (tmp_path / "age.bin").write_bytes(weights)
    for source in (tmp_path, tmp_path / "age.xml"):
        message = refused(source)
        assert "'age-classifier' with inputs [1, 3, 62, 62] -> outputs [1, 8, 62, 62]" in message
        assert "MobileStyleGAN" in message
        assert "[1, S] -> [1, 3, R, R]" in message


def test_half_of_the_pair(folder: Path) -> None:
    shutil.copy(folder / "MappingNetwork.xml", folder / "again.xml")
    shutil.copy(folder / "MappingNetwork.bin", folder / "again.bin")
    assert "2 mapping networks" in refused(folder)
    assert "2 mapping networks" in refused(folder / "SynthesisNetwork.xml")
    assert read_ir(folder / "again.xml")  # the one that was named
    for name in ("again", "MappingNetwork"):
        (folder / f"{name}.bin").unlink()
    assert "no mapping network" in refused(folder)
    assert "again.bin is missing" in refused(folder / "again.xml")
    (folder / "SynthesisNetwork.bin").unlink()
    assert "holds no .xml" in refused(folder)


def test_what_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "a.whl")
    assert "missing" in refused(tmp_path / "a.xml")
    assert "holds no .xml" in refused(tmp_path)
    (tmp_path / "b.whl").write_bytes(b"PK\x03\x04 and nothing more")
    assert "no wheel" in refused(tmp_path / "b.whl")
    for number in range(40):
        (tmp_path / f"{number}.xml").touch()
        (tmp_path / f"{number}.bin").touch()
    assert "40 IR files" in refused(tmp_path)


# Wheels -----------------------------------------------------------------------------------------


def archive_of(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_names_in_a_wheel_lead_nowhere(
    files: dict[str, bytes], network: MobileStyleGAN, tmp_path: Path
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    wheel = archive_of(inner / "x.whl", {f"../../{name}": files[name] for name in files})
    before = sorted(tmp_path.rglob("*"))
    assert_same(read_ir(wheel), network)
    assert sorted(tmp_path.rglob("*")) == before


def test_bombs(files: dict[str, bytes], tmp_path: Path) -> None:
    zeros = {**files, "MappingNetwork.bin": bytes(4 * 2**20)}
    assert "claims more" in refused(archive_of(tmp_path / "a.whl", zeros))
    spaces = {**files, "MappingNetwork.xml": b" " * (ir.LARGEST_XML + 1)}
    stored = archive_of(tmp_path / "b.whl", spaces, zipfile.ZIP_STORED)
    assert "larger than" in refused(stored)
    packed = archive_of(tmp_path / "c.whl", files, zipfile.ZIP_LZMA)
    assert "unusual way" in refused(packed)
    many = {f"{n}.xml": b"" for n in range(10_001)}
    assert "10,001 members" in refused(archive_of(tmp_path / "d.whl", many))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name(files: dict[str, bytes], tmp_path: Path) -> None:
    wheel = archive_of(tmp_path / "a.whl", files)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("MappingNetwork.xml", b"<net/>")
    assert "same name" in refused(wheel)


def test_a_member_that_is_damaged(files: dict[str, bytes], tmp_path: Path) -> None:
    wheel = archive_of(tmp_path / "a.whl", files, zipfile.ZIP_STORED)
    data = bytearray(wheel.read_bytes())
    place = data.index(files["MappingNetwork.bin"][:64])
    data[place + 9] ^= 255
    wheel.write_bytes(data)
    assert "CRC" in refused(wheel)


def test_what_looks_like_ir_files(files: dict[str, bytes], folder: Path, tmp_path: Path) -> None:
    wheel = archive_of(tmp_path / "a.zip", files)
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}.")
    found = (wheel, folder, folder / "MappingNetwork.xml")
    others = (tmp_path / "a.pth", tmp_path / "a.pkl", tmp_path / "none")
    assert all(map(ir_files.is_ir, found))
    assert not any(map(ir_files.is_ir, others))


# Converted --------------------------------------------------------------------------------------


def test_the_command_converts_a_folder(run: Run, network: MobileStyleGAN, folder: Path) -> None:
    done = run("convert", folder, "-o", "bundle", "--space", "w", "--truncation", "0.7", "--json")
    assert done.code == 0, done
    told = json.loads(done.out)
    assert told["format"] == openvino.NAME
    assert told["keys"] == len(without_mean(network))
    assert set(told["sha256"]) == {path.name for path in folder.iterdir()}
    found, card = load_generator(Path("bundle"))
    assert card["network"] == "mobilestylegan"
    assert isinstance(found, MobileStyleGAN)
    assert (found.space.name, found.truncation) == ("w", 0.7)
    assert_same(found, network)


def test_a_converted_wheel_is_used_in_z(files: dict[str, bytes], tmp_path: Path) -> None:
    wheel = ir_writers.write_wheel(tmp_path / "tiny_face-1.0-py3-none-any.whl", files)
    converted = convert(wheel)
    assert (converted.network.space.name, converted.network.truncation) == ("z", 1)
    assert converted.card["converted"]["sha256"] == sha256(wheel)
    assert any("mean of w" in note for note in converted.notes)
    with pytest.raises(LatentEditError, match="value range"):
        convert(wheel, value_range=(0, 1))


def test_the_command_refuses_hostile_files_before_torch(folder: Path) -> None:
    path = folder / "MappingNetwork.xml"
    path.write_text(f"<!DOCTYPE net [{LAUGHS}]><net>&l9;</net>")
    code = (
        "import sys\nfrom latentedit.cli import main\nsys.argv[0] = 'latentedit'\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, "convert", str(path), "-o", str(folder / "bundle")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done
    assert done.stdout == "False\n"
    assert "document type" in done.stderr
    assert not (folder / "bundle").exists()


# Fuzzed -----------------------------------------------------------------------------------------

PIECES = [
    b"", b"0", b"-1", b"1", b"4", b"99999999999", b"1e9", b"nan", b'"', b"<", b">", b"/>", b"&",
    b"&#0;", b"<dim>", b"</dim>", b"<layer>", b"</layers>", b"<!--", b"]]>", b"<![CDATA[",
    b"<!DOCTYPE a>", b"Const", b"Multiply", b"Reshape", b"Parameter", b"f16", b"i64", b"\0",
    b"\xff\xfe", b", ", b"512",
]  # fmt: skip


def near(data: bytearray, place: int, pattern: bytes) -> list[tuple[int, int]]:
    """Where a pattern is found around a place."""
    start = max(0, place - 1000)
    found = re.finditer(pattern, bytes(data[start : place + 1000]))
    return [(start + match.start(), start + match.end()) for match in found]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Cut, doubled, swapped, or with bytes or pieces of XML in the place of others."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 30))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[place : place + chance.randrange(12)] = chance.choice(PIECES)
            case 2:
                del changed[place : place + chance.choice((1, 4, 100, 10_000))]
            case 3:
                changed[place:place] = changed[place : place + chance.choice((4, 60, 400))]
            case 4:
                spans = near(changed, place, rb"\d+")
                if spans:
                    start, end = chance.choice(spans)
                    changed[start:end] = chance.choice(PIECES[:8])
            case _:
                spans = near(changed, place, rb'"[^"]*"')
                if len(spans) > 1:
                    (a, b), (c, d) = chance.sample(spans, 2)
                    changed[a:b] = changed[c:d]
        if not changed:
            break
    return bytes(changed)


def outcome(source: Path) -> MobileStyleGAN | str:
    """What is read, or the line that says why nothing is; any other error is a failure."""
    try:
        return read_ir(source)
    except LatentEditError as error:
        return str(error)


def fuzz(files: dict[str, bytes], folder: Path, rounds: range) -> tuple[int, int]:
    """Read mutated pairs; returns how many were read and how many refused."""
    read = 0
    for seed in rounds:
        chance = random.Random(seed)
        broken = dict(files)
        for name in chance.sample(sorted(files), chance.choice((1, 1, 2))):
            broken[name] = mutated(files[name], chance)
        found = outcome(ir_writers.write_folder(folder, broken))
        if isinstance(found, str):
            assert "\n" not in found, seed
            assert len(found) < 1000, seed
        else:
            read += 1
            assert all(torch.isfinite(value).all() for value in found.state_dict().values()), seed
    return read, len(rounds) - read


@pytest.fixture(scope="module")
def few_files() -> dict[str, bytes]:
    """Of one block, which is read fast."""
    config = MobileStyleGANConfig(widths=(4, 4), mapping=1, style=4)
    return ir_writers.ir_files(network_of(config))


@pytest.mark.usefixtures("short_mean")
def test_fuzzed(few_files: dict[str, bytes], tmp_path: Path) -> None:
    read, refused = fuzz(few_files, tmp_path / "ir", range(200))
    assert read > 10
    assert refused > 100


@pytest.mark.slow
@pytest.mark.usefixtures("short_mean")
def test_fuzzed_long(files: dict[str, bytes], tmp_path: Path) -> None:
    read, refused = fuzz(files, tmp_path / "ir", range(200, 10_200))
    assert read > 100
    assert refused > 1000


@pytest.mark.usefixtures("short_mean")
def test_fuzzed_wheels(few_files: dict[str, bytes], tmp_path: Path) -> None:
    wheel = ir_writers.write_wheel(tmp_path / "tiny_face-1.0-py3-none-any.whl", few_files)
    data = wheel.read_bytes()
    for seed in range(150):
        wheel.write_bytes(mutated(data, random.Random(seed)))
        found = outcome(wheel)
        assert not isinstance(found, str) or "\n" not in found, seed


@given(st.binary(max_size=300))
def test_any_bytes_as_xml(data: bytes) -> None:
    with pytest.raises(LatentEditError):
        ir.read_graph(data, "file")


@given(st.text("0123456789 -+._ex²٣\0", max_size=15))
def test_whole_numbers(text: str) -> None:
    try:
        found = ir.whole_number(text, "file")
    except LatentEditError:
        assert not (text.isascii() and text.isdigit() and len(text) <= 12)
    else:
        assert int(text) == found >= 0


def test_the_reader_leaves_the_random_state_alone(folder: Path) -> None:
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    read_ir(folder)
    assert torch.equal(torch.rand(1), wanted)
    assert copy.deepcopy(read_ir(folder)).config == CONFIG
