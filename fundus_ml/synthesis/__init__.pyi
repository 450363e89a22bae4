from .cameras import CAMERAS as CAMERAS
from .options import Population as Population
from .painting import paint_photograph as paint_photograph
from .population import draw_population as draw_population
from .truth import true_landmarks as true_landmarks
from .truth import true_regions as true_regions
