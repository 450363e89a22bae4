"""From a release of photographs to a dataset folder."""
