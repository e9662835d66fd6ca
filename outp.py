import time, numpy as np, hr2jax, threading, cProfile, pstats
from tests.test_outputs import *
def go():
    for seed,q in ((0,2),):
        rng=np.random.default_rng(seed)
        net=random_network(rng,(3,4,2) if seed%2 else (2,3,3,3))
        t=time.thread_time(); formal=formal_constant(net,'inf',q); print('formal',time.thread_time()-t)
        t=time.thread_time(); occ=max(sampled(net,'inf',q,np.zeros(net.widths[0]),10.0**k,rng) for k in (-1,0,1)); print('sampled',time.thread_time()-t)
        for rel in RELAXATIONS:
            t=time.thread_time(); r=hr2jax.solve(net,norm='inf',output_norm=q,relaxation=rel); t1=time.thread_time(); r.certificate.verify(net,output=None,output_norm=q)
            print(rel,'solve',round(t1-t,2),'verify',round(time.thread_time()-t1,2),{k:round(v,2) for k,v in r.timings.items() if k!='peak_bytes'},r.iterations,r.problem.get('engine'),r.problem['moment_matrix'])
t=threading.Thread(target=go); t.start(); t.join()
def prof():
    p=cProfile.Profile(time.thread_time)
    rng=np.random.default_rng(0); net=random_network(rng,(2,3,3,3))
    p.enable(); hr2jax.solve(net,norm='inf',output_norm=2,relaxation='hr2+'); p.disable(); p.dump_stats('/tmp/suite/outp.prof')
t=threading.Thread(target=prof); t.start(); t.join()
s=pstats.Stats('/tmp/suite/outp.prof'); s.sort_stats('cumtime').print_stats(60)
