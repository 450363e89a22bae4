from fundus_ml.sources.files import image_files


def test_linked_folders_are_looked_through_and_hidden_ones_are_not(tmp_path):
    """Each photograph gets a row; a link back to a folder around it ends there."""
    root, other = tmp_path / "root", tmp_path / "other"
    for file in ("root/a/x.jpg", "root/.thumbs/z.jpg", "root/.w.jpg", "other/y.JPG", "root/t.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    (root / "linked").symlink_to(other)
    (root / "a/back").symlink_to(root)
    assert image_files(root) == ["a/x.jpg", "linked/y.JPG"]
