"""Marks: an edited photo says that it was edited, and how.

The marks are IPTC's digital source type and the recipe. They are written into XMP (ISO 16684-1),
which JPEG, PNG, WebP, TIFF, AVIF and HEIC carry; this project puts XMP into GIF and MP4 too. A
photo's own XMP stays; only these two properties are replaced in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.dom import minidom
from xml.parsers.expat import ExpatError

COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's word for a photo into which a trained model's pictures were put."""

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for a picture that a trained model drew."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OURS = "urn:latentedit:xmp:1.0/"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_PROPERTIES = ((_IPTC, "Iptc4xmpExt", "DigitalSourceType"), (_OURS, "latentedit", "Recipe"))
_EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TAIL = '<?xpacket end="w"?>'

MAX_XMP = 4_000_000
"""Longest XMP that is read, in bytes, since it becomes a tree in memory."""

_DEEPEST = 100
"""Most elements of XMP inside each other; those who walk through it call themselves."""


@dataclass(frozen=True)
class Marks:
    """What a picture says of how it was made.

    Attributes:
        recipe: JSON, or None.
        source_type: a URI of IPTC's digital source types, or None.
    """

    recipe: str | None = None
    source_type: str | None = None


def write_marks(xmp: bytes | None, marks: Marks) -> bytes:
    """Put marks into a photo's XMP.

    Args:
        xmp: the photo's XMP packet, or None.

    Returns:
        A packet, UTF-8, with everything else as it was.

    Raises:
        ValueError: `xmp` is damaged.
    """
    document = _parse(xmp) if xmp else minidom.parseString(_EMPTY)
    root = _rdf(document)
    about = ""
    for description in _descriptions(root):
        about = description.getAttributeNS(_RDF, "about") or about
        _remove(description)
    ours = document.createElementNS(_RDF, f"{root.prefix or 'rdf'}:Description")
    ours.setAttributeNS(_RDF, f"{root.prefix or 'rdf'}:about", about)
    if not root.prefix:  # RDF as the default namespace
        ours.setAttributeNS(_XMLNS, "xmlns:rdf", _RDF)
    for (space, prefix, name), value in zip(
        _PROPERTIES, (marks.source_type, marks.recipe), strict=True
    ):
        if value is not None:
            ours.setAttributeNS(_XMLNS, f"xmlns:{prefix}", space)
            element = document.createElementNS(space, f"{prefix}:{name}")
            element.appendChild(document.createTextNode(value))
            ours.appendChild(element)
    root.appendChild(ours)
    assert document.documentElement is not None
    return f"{_HEAD}{document.documentElement.toxml()}{_TAIL}".encode()


def read_xmp_marks(xmp: bytes) -> Marks:
    """Read marks from XMP; damaged XMP gives empty marks."""
    try:
        root = _rdf(_parse(xmp))
    except ValueError:
        return Marks()
    found: list[str | None] = []
    for space, _, name in _PROPERTIES:
        value = None
        for description in _descriptions(root):
            if description.hasAttributeNS(space, name):
                value = description.getAttributeNS(space, name)
            for element in description.getElementsByTagNameNS(space, name):
                value = "".join(
                    child.data for child in element.childNodes if isinstance(child, minidom.Text)
                )
                value = value or element.getAttributeNS(_RDF, "resource")
        found.append(value.strip() if value else None)
    return Marks(recipe=found[1], source_type=found[0])


def _parse(xmp: bytes) -> minidom.Document:
    """Return XMP as a tree.

    Raises:
        ValueError: it is damaged, too long, not UTF-8, or has a document type. XMP never has one,
            and it could make the tree grow without limit.
    """
    if len(xmp) > MAX_XMP:
        raise ValueError("too long")
    xmp = xmp.strip(b"\0 \t\r\n")
    if b"\0" in xmp:  # a document type could hide in UTF-16
        raise ValueError("it is not UTF-8")
    if b"<!DOCTYPE" in xmp or b"<!ENTITY" in xmp:
        raise ValueError("it has a document type")
    try:
        document = minidom.parseString(xmp)
    except (ExpatError, UnicodeError, LookupError) as error:
        raise ValueError(str(error)) from None
    level: list[minidom.Node] = [document]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in node.childNodes]
    if level:
        raise ValueError("its parts lie too deep")
    return document


def _rdf(document: minidom.Document) -> minidom.Element:
    for element in document.getElementsByTagNameNS(_RDF, "RDF"):
        return element
    raise ValueError("it has no RDF")


def _descriptions(root: minidom.Element) -> list[minidom.Element]:
    return [
        node
        for node in root.childNodes
        if isinstance(node, minidom.Element)
        and (node.namespaceURI, node.localName) == (_RDF, "Description")
    ]


def _remove(description: minidom.Element) -> None:
    """Take our properties, as attributes or elements, out of a description."""
    for space, _, name in _PROPERTIES:
        if description.hasAttributeNS(space, name):
            description.removeAttributeNS(space, name)
        for child in list(description.childNodes):
            if isinstance(child, minidom.Element) and (child.namespaceURI, child.localName) == (
                space,
                name,
            ):
                description.removeChild(child)
