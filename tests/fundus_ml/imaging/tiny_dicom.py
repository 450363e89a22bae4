"""Small DICOM files written by pydicom itself, with a patient whose name must not leak."""

import io

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

PATIENT = "Tulip^Rosamund"


def dicom_of(samples, *, syntax=ExplicitVRLittleEndian, without=(), **elements):
    """The bytes of a DICOM file.

    Args:
        samples: ``(H, W, 3)`` or ``(H, W)`` uint8 or uint16, as they are to be stored.
        syntax: Transfer syntax.
        without: Keywords of elements to leave out.
        elements: That stand in place of those that describe ``samples``.
    """
    height, width = samples.shape[:2]
    bits = 8 * samples.itemsize
    described = {
        "PatientName": PATIENT,
        "PatientID": "0815-4711",
        "Rows": height,
        "Columns": width,
        "SamplesPerPixel": 3 if samples.ndim == 3 else 1,
        "PhotometricInterpretation": "RGB" if samples.ndim == 3 else "MONOCHROME2",
        "PlanarConfiguration": 0,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "PixelData": np.ascontiguousarray(samples).tobytes(),
    } | elements
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    dataset = Dataset()
    dataset.file_meta = meta
    for keyword, value in described.items():
        if keyword not in without:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def dicom_around(file, *, syntax, width, height, colours="YBR_FULL_422", parts=1, **elements):
    """The bytes of a DICOM file around image files, each cut into ``parts`` fragments."""
    files = file if isinstance(file, list) else [file]
    return dicom_of(
        np.zeros((height, width, 3), np.uint8),
        syntax=syntax,
        PhotometricInterpretation=colours,
        PixelData=encapsulate(files, fragments_per_frame=parts),
        **elements,
    )
