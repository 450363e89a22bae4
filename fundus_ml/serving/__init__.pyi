from .given import NOT_A_PHOTOGRAPH as NOT_A_PHOTOGRAPH
from .given import from_bytes as from_bytes
from .given import from_file as from_file
from .given import photograph_loader as photograph_loader
from .options import ScoringOptions as ScoringOptions
from .scoring import COLUMNS as COLUMNS
from .scoring import as_table as as_table
from .scoring import score_photographs as score_photographs
