import cProfile,pstats,time,sys,threading
import numpy as np, hr2jax
from hr2jax import Network
import hr2jax.machine.stopping as st
rng=np.random.default_rng([1,4,5])
net=Network([rng.standard_normal((5,4)),rng.standard_normal((2,5))],[0.1*rng.standard_normal(5),np.zeros(2)])
deep=Network([rng.standard_normal((4,3)),rng.standard_normal((4,4)),rng.standard_normal((1,4))],[0.1*rng.standard_normal(4)]*2+[np.zeros(1)])
def one():
    for rel in ('shor','hr2','hr2+'):
        for n in (net,deep):
            for w in ({},dict(center=np.linspace(-.1,.1,n.widths[0]),radius=1.0)):
                r=hr2jax.solve(n,relaxation=rel,output=0,**w); r.certificate.verify(n)
one()
t=time.process_time(); one(); print('cpu per solve', (time.process_time()-t)/12)
def worker():
    p=cProfile.Profile(time.thread_time); p.enable(); 
    for _ in range(1): one()
    p.disable(); p.dump_stats('/tmp/suite/tiny.prof')
orig=st.stoppable_call if hasattr(st,'stoppable_call') else None
import hr2jax.api as api
# run in a thread other than main: solve then does not go aside
t=threading.Thread(target=worker); t.start(); t.join()
