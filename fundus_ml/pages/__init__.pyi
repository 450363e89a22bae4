from .gallery import gallery_page as gallery_page
from .template import Section as Section
from .template import audit_page as audit_page
from .template import rendered as rendered
from .template import summary_page as summary_page
