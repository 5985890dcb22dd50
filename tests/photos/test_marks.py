"""Marks in XMP: written beside what is there, and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.photos.marks import COMPOSITE, Marks, read_xmp_marks, write_marks

PACKET = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="uuid:1" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture">
<dc:creator><rdf:Seq><rdf:li>Ann &amp; Bob</rdf:li></rdf:Seq></dc:creator>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>\0\0"""

texts = st.text(
    alphabet=st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
)


@given(texts)
def test_any_recipe_comes_back(recipe: str) -> None:
    marks = read_xmp_marks(write_marks(None, Marks(recipe, COMPOSITE)))
    assert marks == Marks(recipe.strip() or None, COMPOSITE)


def test_what_is_there_stays_and_the_source_type_is_replaced() -> None:
    assert read_xmp_marks(PACKET) == Marks(None, COMPOSITE.rpartition("/")[0] + "/digitalCapture")
    packet = write_marks(PACKET, Marks('{"a": 1}', COMPOSITE))
    assert read_xmp_marks(packet) == Marks('{"a": 1}', COMPOSITE)
    assert b"Ann &amp; Bob" in packet
    assert b"digitalCapture" not in packet
    assert packet.count(b'about="uuid:1"') == 2  # all descriptions are of one resource


def test_marks_are_written_once() -> None:
    first = write_marks(PACKET, Marks("one", COMPOSITE))
    second = write_marks(first, Marks("two", None))
    assert read_xmp_marks(second) == Marks("two", None)
    assert second.count(b"two") == 1
    assert b"one" not in second


def test_rdf_as_the_default_namespace() -> None:
    packet = (
        b'<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description about=""/></RDF>'
    )
    assert read_xmp_marks(write_marks(packet, Marks("r", COMPOSITE))) == Marks("r", COMPOSITE)


def test_a_resource_is_a_value_too() -> None:
    packet = PACKET.replace(
        b'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/'
        b'digitalCapture">',
        b'><Iptc4xmpExt:DigitalSourceType rdf:resource="urn:x"/>',
    )
    assert read_xmp_marks(packet).source_type == "urn:x"


BOMB = b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>'


WIDE_BOMB = BOMB.decode().encode("utf-16")
DEEP = b"<a>" * 3000 + b"</a>" * 3000


@pytest.mark.parametrize(
    "packet", [b"<a", b"<a/>", b"\xff\xfe", BOMB, WIDE_BOMB, DEEP, b" " * 4_000_001]
)
def test_damaged_and_hostile_packets(packet: bytes) -> None:
    assert read_xmp_marks(packet) == Marks()
    with pytest.raises(ValueError, match=r"."):
        write_marks(packet, Marks("r", COMPOSITE))


@given(st.binary(max_size=300), st.integers(0, len(PACKET)))
def test_bytes_never_raise_another_error(noise: bytes, place: int) -> None:
    for packet in (noise, PACKET[:place] + noise + PACKET[place:]):
        read_xmp_marks(packet)
