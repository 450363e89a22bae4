"""The one place that imports OpenCV, so that a missing system library ends in a hint."""

try:
    import cv2
except ImportError as error:
    missing = str(error)
    if "libGL" not in missing and "libgthread" not in missing and "libglib" not in missing:
        raise
    hint = (
        f"OpenCV cannot start: {missing}. Install the system library it needs, "
        "for example `apt-get install libgl1 libglib2.0-0` (Debian, Ubuntu) or "
        "`dnf install mesa-libGL glib2` (Fedora)."
    )
    raise ImportError(hint) from None

__all__ = ["cv2"]
