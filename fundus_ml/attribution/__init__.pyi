from .literature import beside_literature as beside_literature
from .methods import CONTROLS as CONTROLS
from .methods import METHODS as METHODS
from .methods import SEEDED as SEEDED
from .methods import SIGNED as SIGNED
from .methods import attribute as attribute
from .methods import cannot_serve as cannot_serve
from .options import AttributionOptions as AttributionOptions
