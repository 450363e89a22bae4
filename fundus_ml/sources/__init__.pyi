from .files import image_files as image_files
from .files import rejected_rows as rejected_rows
from .folder import folder_photographs as folder_photographs
from .listing import as_path as as_path
from .pseudonyms import pseudonymised as pseudonymised
from .pseudonyms import read_salt as read_salt
from .releases import read_release as read_release
from .synthetic import synthetic_photographs as synthetic_photographs
