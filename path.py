import cProfile,pstats,time
import numpy as np, tempfile, pathlib
from tests.test_depth import *
p=cProfile.Profile(time.process_time)
t0=time.process_time()
p.enable()
test_a_path_beyond_every_exponent_does_not_cancel_another('both',0,pathlib.Path(tempfile.mkdtemp()))
p.disable()
print(time.process_time()-t0)
s=pstats.Stats(p); s.sort_stats('cumtime').print_stats(45); s.sort_stats('tottime').print_stats(12)
