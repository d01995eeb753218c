/* SPDX-License-Identifier: MIT */
/* The lifecycle of one slot as droverd has it, checked by spin: tests/run model.
 *
 * States are those of supervisor/process_fsm.c: WAITING is down with a start due at a time, TERMING and KILLING are
 * both `stopping` (before and after the KILL). After a crash of droverd the fence ends what is left, then starts anew;
 * the interval and the wanted state outlive the crash in the slot's record. Nothing ever gives up: policy `always`.
 *
 * Time is discrete (ticks).  droverd is one event loop: each turn handles, in this order,
 * dead children, the timer tick, probe answers, one operator command, due starts.
 * A crash (SIGKILL of droverd) may happen between any two atomic steps.
 * Kernel truth (alive, kids, zombie, ...) lives outside droverd and survives its crash.
 * -DBUG_xxx switches one seeded bug on: each of them must be found.
 */
#ifndef NW
#define NW      1       /* workers */
#endif
#ifndef NCRASH
#define NCRASH  1       /* supervisor crashes explored */
#endif
#ifndef MININT
#define MININT  3       /* min_restart_interval */
#endif
#ifndef GRACE
#define GRACE   2       /* stop grace, TERM -> KILL */
#endif
#define KILLT   2       /* KILL -> report STUCK (process in D state) */
#define STARTT  2       /* start deadline: STARTING -> ready */
#ifndef PT
#define PT      1       /* probe.timeout */
#endif
#ifndef PI
#define PI      1       /* probe.interval */
#endif
#ifndef HB
#define HB      (3*PT + 3*PI + 1)  /* bound: hang -> kill begins */
#endif
#ifndef G3B
#define G3B     (PT + 1)           /* third failing probe sent -> kill begins */
#endif
#ifndef SB
#define SB      (GRACE + KILLT + 2) /* bound: stop begins -> stop ends (STOPPED or STUCK) */
#endif

mtype:state = { STOPPED, STARTING, RUNNING, TERMING, KILLING, WAITING, STUCK };
mtype:comd  = { NONE, C_START, C_STOP, C_RESTART, C_RELOAD, C_SHUT };

/* ---- kernel truth ---- */
bit alive[NW];  /* main process lives            */
bit kids[NW];   /* descendants live in its cgroup */
bit zombie[NW]; /* main is dead, not yet reaped  */
bit hung[NW];   /* main no longer answers        */
bit rdy[NW];    /* readiness was notified        */
bit sterm[NW];  /* SIGTERM delivered             */
bit skill[NW];  /* cgroup.kill delivered         */
bit prep[NW];   /* an answer to the outstanding probe is in the socket */
bit stale[NW];  /* a failed probe result of a DEAD incarnation is in flight */
#ifdef DSTATE
bit dst[NW];    /* uninterruptible sleep: KILL does not act */
#endif
/* ---- events ---- */
bit tick;
mtype:comd cmd = NONE;
byte cmdw;
bit crash;
/* ---- supervisor, volatile ---- */
mtype:state st[NW] = STOPPED;
bit want[NW]; bit autom[NW];
byte t[NW];     /* deadline of the present state, counts down */
byte since[NW]; /* ticks since last start, saturates at MININT */
byte strikes[NW];
bit pout[NW]; byte pt[NW]; byte ivl[NW];
bit shut; bit done; bit up;
/* ---- persistent (fsynced state file) ---- */
bit pwant[NW] = 1; byte psince[NW] = MININT;
/* ---- ghosts: only for checking ---- */
byte gsince[NW] = MININT; /* true ticks since the last fork */
bit  gwant[NW] = 1;  /* what the operator was last ACKED to want */
byte gfail[NW];  /* true consecutive probe failures of this incarnation */
byte g3[NW];     /* ticks since the 3rd failing probe was sent */
byte ghung[NW];  /* ticks hung while RUNNING */
byte gstop[NW];  /* ticks in one stop episode */
byte gnew[NW];   /* ticks since the third strike, until the next fork (naive claim only) */
byte ncrash; byte nforks;

#ifdef DSTATE
#define MOVABLE(i) (!dst[i])
#else
#define MOVABLE(i) (true)
#endif
#define empty(i)    (!alive[i] && !kids[i] && !zombie[i])
#define stopping(i) (st[i]==TERMING || st[i]==KILLING)

inline begin_term(i, au) {
	assert(alive[i] || zombie[i] || kids[i]);  /* never signal what is not ours (PID reuse) */
	sterm[i] = 1; autom[i] = au; st[i] = TERMING; t[i] = GRACE;
	pout[i] = 0; prep[i] = 0; strikes[i] = 0; gfail[i] = 0; g3[i] = 0; gstop[i] = 0
}
inline gone(i) {  /* main reaped and the cgroup is empty */
	strikes[i] = 0; gfail[i] = 0; pout[i] = 0; prep[i] = 0; g3[i] = 0; ghung[i] = 0; gstop[i] = 0;
	sterm[i] = 0; skill[i] = 0;
	if
	:: !want[i] || shut -> st[i] = STOPPED; t[i] = 0
	:: else ->
		if
		:: !autom[i] -> st[i] = WAITING; t[i] = 0
		:: else ->
			st[i] = WAITING;
#ifdef BUG_NOINTERVAL
			t[i] = 0
#else
			t[i] = MININT - since[i]
#endif
		fi
	fi
}
inline reap(i) {
	zombie[i] = 0;
	if
	:: st[i]==STARTING || st[i]==RUNNING -> autom[i] = 1; gstop[i] = 0
	:: else
	fi;
	pout[i] = 0; prep[i] = 0; strikes[i] = 0; gfail[i] = 0; g3[i] = 0; ghung[i] = 0;
#ifndef BUG_NOCGROUP
	if
	:: kids[i] -> skill[i] = 1;
		if :: st[i]==STUCK :: else -> st[i] = KILLING; t[i] = KILLT; gstop[i] = 0 fi
	:: else -> gone(i)
	fi
#else
	gone(i)
#endif
}
inline on_tick(i) {
	if :: gsince[i] < MININT -> gsince[i]++ :: else fi;
	if :: since[i]  < MININT -> since[i]++  :: else fi;
	if :: psince[i] < MININT -> psince[i]++ :: else fi;
	if :: hung[i] && st[i]==RUNNING -> ghung[i]++; assert(ghung[i] <= HB) :: else -> ghung[i] = 0 fi;
	if :: stopping(i) -> gstop[i]++; assert(gstop[i] <= SB) :: else -> gstop[i] = 0 fi;
#ifdef NAIVE3
	if :: gnew[i] > 0 -> gnew[i]++; assert(gnew[i] <= PT + 2) :: else fi;
#endif
	if
	:: st[i]==WAITING -> if :: t[i] > 0 -> t[i]-- :: else fi
	:: st[i]==STARTING ->
		if :: t[i] > 0 -> t[i]-- :: else -> begin_term(i, 1) fi
	:: st[i]==TERMING ->
		if :: t[i] > 0 -> t[i]-- :: else -> skill[i] = 1; st[i] = KILLING; t[i] = KILLT fi
	:: st[i]==KILLING ->
		if :: t[i] > 0 -> t[i]--
		   :: else -> if :: empty(i) :: else -> st[i] = STUCK; gstop[i] = 0 fi
		fi
	:: st[i]==RUNNING ->
		if
		:: pout[i] && strikes[i]==2 -> g3[i]++; assert(g3[i] <= G3B)
		:: else -> g3[i] = 0
		fi;
		if
		:: pout[i] && !prep[i] ->
			pt[i]--;
			if
			:: pt[i]==0 -> pout[i] = 0; strikes[i]++; gfail[i]++; ivl[i] = PI;
				if :: strikes[i]==3 ->
#ifdef NAIVE3
					gnew[i] = 1;
#endif
					begin_term(i, 1)
				   :: else fi
			:: else
			fi
		:: !pout[i] -> if :: ivl[i] > 1 -> ivl[i]-- :: else -> pout[i] = 1; prep[i] = 0; pt[i] = PT fi
		:: else
		fi
	:: else
	fi
}
inline on_probe(i) {
	if
	:: pout[i] && prep[i] -> pout[i] = 0; prep[i] = 0; strikes[i] = 0; gfail[i] = 0; g3[i] = 0; ivl[i] = PI
	:: else
	fi;
	if
	:: stale[i] -> stale[i] = 0;
#ifdef BUG_STALEPROBE
		if :: st[i]==RUNNING && strikes[i] < 2 -> strikes[i]++ :: else fi
#endif
	:: else
	fi;
	if
	:: st[i]==STARTING && rdy[i] -> st[i] = RUNNING; ivl[i] = PI
	:: else
	fi;
	if   /* cgroup.events populated 0 */
	:: (stopping(i) || st[i]==STUCK) && empty(i) -> gone(i)
	:: else
	fi;
	assert(strikes[i] == gfail[i])
}
inline now_start(i) {   /* operator start/restart */
	autom[i] = 0; want[i] = 1;
	if
	:: st[i]==STOPPED || st[i]==WAITING -> st[i] = WAITING; t[i] = 0
	:: else
	fi
}
inline on_cmd(i) {
	if
	:: shut -> skip               /* refused while shutting down */
	:: else ->
		if
		:: cmd==C_START -> pwant[i] = 1; gwant[i] = 1; now_start(i);
#ifdef BUG_STARTDURINGSTOP
			if :: stopping(i) -> st[i] = WAITING; t[i] = 0 :: else fi
#endif
		:: cmd==C_STOP ->
#ifndef BUG_STOPNOTPERSISTED
			pwant[i] = 0;
#endif
			gwant[i] = 0; want[i] = 0;
			if
			:: st[i]==STARTING || st[i]==RUNNING -> begin_term(i, 0)
			:: st[i]==WAITING -> st[i] = STOPPED; t[i] = 0
			:: else
			fi
		:: cmd==C_RESTART -> pwant[i] = 1; gwant[i] = 1;
			if
			:: st[i]==STARTING || st[i]==RUNNING -> want[i] = 1; begin_term(i, 0)
			:: else -> now_start(i)
			fi
		:: cmd==C_RELOAD ->
			/* unchanged worker: nothing moves; deadlines and strikes are kept */
#ifdef BUG_RELOADREARMS
			if :: st[i]==TERMING -> t[i] = GRACE :: else fi;
#endif
#ifdef BUG_RELOADSTRIKES
			strikes[i] = 0; gfail[i] = 0; g3[i] = 0; pout[i] = 0; prep[i] = 0; ivl[i] = PI;
#endif
			skip
		:: else
		fi
	fi
}
inline on_shut() {
	shut = 1; k = 0;
	do
	:: k < NW ->
		want[k] = 0;
		if
		:: st[k]==STARTING || st[k]==RUNNING -> begin_term(k, 0)
#ifndef BUG_SHUTWAITING
		:: st[k]==WAITING -> st[k] = STOPPED; t[k] = 0
#endif
		:: else
		fi;
		k++
	:: else -> break
	od
}
inline on_boot(i) {     /* new supervisor: volatile state is gone, kernel truth and pstate remain */
	want[i] = pwant[i]; autom[i] = 1; strikes[i] = 0;
	pout[i] = 0; prep[i] = 0; stale[i] = 0;
	gfail[i] = 0; g3[i] = 0; ghung[i] = 0; gstop[i] = 0;
	zombie[i] = 0;          /* init reaps what the dead supervisor left */
	since[i] = psince[i];
#ifdef BUG_ADOPTBLIND
	if :: want[i] -> st[i] = WAITING; t[i] = MININT - since[i] :: else -> st[i] = STOPPED fi
#else
	if
	:: !empty(i) -> skill[i] = 1; st[i] = KILLING; t[i] = KILLT
	:: else -> sterm[i] = 0; skill[i] = 0;
		if :: want[i] -> st[i] = WAITING; t[i] = MININT - since[i]
		   :: else -> st[i] = STOPPED; t[i] = 0 fi
	fi
#endif
}
inline fork_it(i) {
	assert(empty(i));                               /* P1 no double run */
	assert(gwant[i]);                               /* P2 never runs what the operator stopped */
	assert(!shut);                                  /* P3 nothing starts after shutdown began */
	assert(!autom[i] || gsince[i] >= MININT);        /* P4 min_restart_interval */
	gsince[i] = 0; gnew[i] = 0;
	alive[i] = 1; hung[i] = 0; rdy[i] = 0; sterm[i] = 0; skill[i] = 0; zombie[i] = 0; stale[i] = 0
}
#define due(i) (st[i]==WAITING && t[i]==0)

active proctype sup() {
	byte i; byte k;
boot:	skip;
	{
		skip; d_step { i = 0; do :: i < NW -> on_boot(i); i++ :: else -> break od; i = 0; up = 1 };
		do
		:: done -> break
		:: else ->
			/* 1 SIGCHLD   2 tick   3 probe/ready/cgroup   4 command: one loop turn */
			d_step { i = 0; do :: i < NW -> if :: zombie[i] -> reap(i) :: else fi; i++ :: else -> break od; i = 0 };
			d_step { if :: tick -> i = 0; do :: i < NW -> on_tick(i); i++ :: else -> break od; i = 0; tick = 0 :: else fi };
			d_step { i = 0; do :: i < NW -> on_probe(i); i++ :: else -> break od; i = 0 };
			d_step { if :: cmd==C_SHUT -> on_shut(); k = 0; cmd = NONE
				    :: cmd!=NONE && cmd!=C_SHUT -> on_cmd(cmdw); cmd = NONE; cmdw = 0
				    :: else fi };
			/* 5 due starts: persist, fork, record are three separate steps */
			i = 0;
			do
			:: i < NW && due(i) ->
#ifdef BUG_PERSISTLATE
				d_step { fork_it(i) };
				d_step { psince[i] = 0; since[i] = 0; st[i] = STARTING; t[i] = STARTT; i++ }
#else
				psince[i] = 0;                         /* fsynced before the fork */
				d_step { fork_it(i) };
				d_step { since[i] = 0; st[i] = STARTING; t[i] = STARTT; i++ }
#endif
			:: i < NW && !due(i) -> i++
			:: i >= NW -> break
			od;
			skip;
			d_step { i = 0;
				if
				:: shut -> k = 0;
					do
					:: k < NW && (st[k]==STOPPED || st[k]==STUCK) -> k++
					:: k < NW && !(st[k]==STOPPED || st[k]==STUCK) -> break
					:: k >= NW -> done = 1; break
					od; k = 0
				:: else
				fi };
			/* epoll_wait: sleep until something can happen */
			(done || tick || cmd!=NONE || zombie[0] || (pout[0]&&prep[0]) || stale[0] ||
			 (st[0]==STARTING && rdy[0]) || ((stopping(0)||st[0]==STUCK) && empty(0)) || due(0)
#if NW > 1
			 || zombie[1] || (pout[1]&&prep[1]) || stale[1] ||
			 (st[1]==STARTING && rdy[1]) || ((stopping(1)||st[1]==STUCK) && empty(1)) || due(1)
#endif
			)
		od
	} unless {
		d_step { crash -> crash = 0; up = 0; cmd = NONE; cmdw = 0; i = 0; k = 0;
			do   /* PDEATHSIG / systemd KillMode=control-group: SIGKILL to all that is left */
			:: i < NW -> if :: alive[i] || kids[i] -> skill[i] = 1 :: else fi; i++
			:: else -> break
			od; i = 0 };
		goto boot
	}
}

active proctype clock() {
	do
	:: d_step { !tick && !done && up -> tick = 1 }
	:: done -> break
	od
}

active proctype oper() {        /* the operator never tires: unbounded commands */
	byte w;
	do
	:: atomic { cmd==NONE && !done && up ->
		if
		:: w = 0
#if NW > 1
		:: w = 1
#endif
		fi;
		if
		:: cmd = C_START
		:: cmd = C_STOP
		:: cmd = C_RESTART
		:: cmd = C_RELOAD
#ifndef NOSHUT
		:: cmd = C_SHUT
#endif
		fi; cmdw = w; w = 0 }
#ifdef STUTTER
	:: d_step { w==0 -> w = 0 }   /* nor a command */
#endif
	:: done -> break
	od
}

active proctype killer() {
	byte z;
	do
	:: atomic { ncrash < NCRASH && !shut && !done && up -> ncrash++; crash = 1 }
#ifdef STUTTER
	:: d_step { z==0 -> z = 0 }   /* weak fairness must not force the crash */
#endif
	:: done -> break
	od
}

/* kernel and worker behaviour; "may" half */
active [NW] proctype work() {
	byte z;
	byte me = _pid - 4;
end:	do
	:: d_step { alive[me] && !hung[me] && !rdy[me] -> rdy[me] = 1 }
	:: d_step { alive[me] && !hung[me] -> hung[me] = 1 }                 /* deadlock, livelock */
	:: d_step { alive[me] && !hung[me] && pout[me] && !prep[me] -> prep[me] = 1 }
	:: atomic { alive[me] ->                                             /* crash or exit */
		if :: kids[me] = 1 :: kids[me] = 0 fi;
		if :: pout[me] -> if :: stale[me] = 1 :: skip fi :: else fi;
		alive[me] = 0; zombie[me] = up; hung[me] = 0; rdy[me] = 0 }
#ifdef STUTTER
	:: d_step { z==0 -> z = 0 }   /* nor a death or readiness */
#endif
#ifdef DSTATE
	:: d_step { (alive[me] || kids[me]) && !dst[me] -> dst[me] = 1 }
#endif
	:: done && empty(me) -> break
	od
}
/* "must" half: the kernel delivers KILL to every task of the cgroup */
active [NW] proctype kern() {
	byte me = _pid - 4 - NW;
end:	do
	:: d_step { skill[me] && (alive[me] || kids[me]) && MOVABLE(me) -> if :: alive[me] -> zombie[me] = up :: else fi; alive[me] = 0; kids[me] = 0; hung[me] = 0; rdy[me] = 0 }
	:: done && empty(me) -> break
	od
}

ltl hunglive { [] ( hung[0] -> <> !hung[0] ) }
ltl stoplive { [] ( stopping(0) -> <> !stopping(0) ) }
ltl shutlive { [] ( shut -> <> done ) }
ltl uplive   { [] ( (gwant[0] && !shut) -> <> (st[0]==STARTING || st[0]==RUNNING || st[0]==STUCK || !gwant[0] || shut) ) }
