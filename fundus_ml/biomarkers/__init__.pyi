from .catalogue import BY_NAME as BY_NAME
from .catalogue import CATALOGUE as CATALOGUE
from .catalogue import STRUCTURES as STRUCTURES
from .catalogue import Biomarker as Biomarker
from .catalogue import Direction as Direction
from .measuring import Biomarkers as Biomarkers
from .measuring import measure_biomarkers as measure_biomarkers
