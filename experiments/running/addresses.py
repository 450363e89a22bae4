"""Addresses of registered versions, as flags list them."""

from experiments.running.comma_lists import comma_list
from fundus_ml.errors import InputError


def addresses(models: str, *, least: int = 2, most: int | None = None) -> list[str]:
    """Split a comma list of addresses.

    Raises:
        InputError: Fewer than ``least`` or more than ``most``.
    """
    found = comma_list(models)
    if len(found) < least or len(found) > (most or len(found)):
        many = f"{least}" if most == least else f"{least} or more"
        raise InputError(
            f"models={models}: {len(found)} given, {many} needed, "
            "such as models:/fundus-sex/1,models:/fundus-sex/2"
        )
    return found
