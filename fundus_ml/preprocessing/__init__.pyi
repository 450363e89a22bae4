from .assembly import assemble as assemble
from .checking import Checked as Checked
from .checking import check_photographs as check_photographs
from .dataset import Preprocessed as Preprocessed
from .dataset import preprocess as preprocess
from .joining import SAME_EYES as SAME_EYES
from .joining import SAME_PERSON as SAME_PERSON
from .options import PreprocessingOptions as PreprocessingOptions
