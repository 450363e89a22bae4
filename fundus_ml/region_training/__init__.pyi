from .landmarks import LandmarkTraining as LandmarkTraining
from .learning import TrainedLandmarks as TrainedLandmarks
from .learning import learn_landmarks as learn_landmarks
from .marks import MarkedEye as MarkedEye
from .marks import read_marks as read_marks
