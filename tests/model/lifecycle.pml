/* SPDX-License-Identifier: MIT */
/* The life of one slot as droverd has it, checked by spin: tests/run model. Of the slots that it depends on, and that
 * depend on it, only is modelled whether they are up.
 *
 * (state, event) -> (state, action) is not written here: the verifier is linked with supervisor/process_fsm.c and
 * asks it (table.c), as it asks restart_policy.c. What is modelled is what stands around the table: supervisor/process.c
 * (actions, flags, timers), order.c (whom a start and a stop wait for), adopt.c (what a new droverd does with what an
 * earlier one left), and the world.
 * names.pml is made from the product's enums by table.c.
 *
 * Kind (worker or service), restart.policy and when_held are chosen when the verifier runs, and so is a seeded bug.
 * Time is discrete (ticks). droverd is one event loop; a turn handles in this order: dead children, the tick, answers,
 * what is left of a tree, one command, a due start. SIGKILL of droverd may happen between any two atomic steps.
 * What the kernel knows (alive, kids, zombie ...) lives outside droverd and survives it. Every step of a life is on
 * record before the loop goes on, so memory and record differ only inside a start, and are one variable elsewhere.
 */
#include "names.pml"
c_decl {
	extern unsigned char model_next[16][64], model_action[16][64], model_met[16][64];
	extern unsigned char model_allowed[16][2], model_automatic[16];
	extern int model_bug, model_service, model_stop_held, model_codes, model_crashes, model_stalls, model_interval, model_needs;
}
#define BUG(n)       c_expr { model_bug == n }
#define SERVICE      c_expr { model_service }
#define STOP_HELD    c_expr { model_stop_held }
#define NEEDS        c_expr { model_needs }
#define CODES        c_expr { model_codes }  /* without a policy that looks at them all ends are alike */
#define ALLOWED      c_expr { model_allowed[now.nc][now.efail] }
#define PROBES_COUNT c_expr { model_allowed[CAUSE_PROBE][1] }
#define AUTOMATIC    c_expr { model_automatic[now.nc] }

#define MININT  c_expr { model_interval }   /* restart.min_interval: shorter than three failed probes take, or longer */
#ifndef GRACE
#define GRACE   1       /* stop.timeout, TERM -> KILL; also what a worker without its supervisor may take to leave */
#endif
#ifndef KILLT
#define KILLT   1       /* KILL -> stuck */
#endif
#ifndef STARTT
#define STARTT  1       /* starting -> ready */
#endif
#ifndef PT
#define PT      1       /* probe.timeout */
#endif
#ifndef PI
#define PI      1       /* probe.interval */
#endif
#ifndef HB
#define HB      (3*PT + 3*PI + 1)   /* bound: hang -> kill begins, or is held */
#endif
#ifndef SB
#define SB      (GRACE + KILLT + 2) /* bound: stop begins -> stop ends (down or stuck) */
#endif
#ifndef LB
#define LB      (MININT + 1)        /* bound: a restart is held */
#endif
#define OFF  255
#define NOEV 255

mtype = { NONE, C_START, C_STOP, C_RESTART, C_RELOAD, C_CHANGE, C_REMOVE, C_ADD, C_SHUT, C_QUIT };

/* ---- kernel and world ---- */
bit alive;      /* the main process lives                */
bit kids;       /* its descendants live                  */
bit zombie;     /* it is dead and droverd was not told   */
bit ended_well; /* its exit code was 0                   */
bit hung;       /* it does not answer                    */
bit rdy;        /* it said that it is ready              */
bit recorded;   /* it wrote its pid into the slot's record (first thing that it does) */
bit lost;       /* a worker whose channel is closed      */
bit killed;     /* KILL was sent to the whole tree       */
bit same;       /* it was started with what is configured now */
bit prep;       /* an answer lies in the socket          */
bit bad;        /* ... and says that it is not well      */
bit flying;     /* a bad answer for an instance that is dead is on its way */
bit stale;      /* ... and has come */
bit dep = 1;    /* what it depends on is ready          */
bit user;       /* what depends on it is up             */
bit tick; bit late;
mtype cmd = NONE;
bit crash;
byte newcfg;    /* the file was changed before a crash, and no reload came: 1 its command, 2 the slot is gone */
bit conf = 1;   /* the slot is configured                */
byte ncrash; byte nstall;

/* ---- droverd; what is on record outlives it ---- */
byte st = PROCESS_STOPPED;  /* on record */
bit  down;                  /* on record: the operator stopped it (stay_down) */
byte nc;                    /* on record: cause of the next start */
byte ec;                    /* cause of the present end */
byte t = OFF;               /* on record: ticks until a waiting or held start is due */
byte since;        /* ticks since the last automatic start, in memory */
byte psince;       /* the same on record; both on the boot clock */
byte strikes;               /* on record */
bit  held;                  /* on record */
bit  efail;                 /* the last end was no success */
bit  want; bit mended; bit pout; bit shut; bit done; bit up; bit nfail;
byte d = OFF; byte dev;     /* deadline and its event */
byte pt; byte ivl;
byte spawning;              /* inside a start: 1 on record, 2 forked */
byte osince;               /* `since` of before this start; on record until somebody claims the start */
bit  claimed;              /* the record of this start has a pid: the child's own word, or droverd's after the fork */
bit  inh;                  /* an earlier droverd's child: how it ends nobody tells us */
hidden byte unclaimed;     /* a start that nobody claimed never was */
byte turn;                 /* it is to go down (1) or anew (2) once what depends on it is down */
byte tc;                   /* ... and why */
byte ev = NOEV; byte act; byte nst;

/* ---- ghosts: only for checking ---- */
byte gsince; /* true ticks since the last automatic fork */
bit  gwant = 1;  /* what the operator was last told that he gets */
byte gfail;      /* true failures of this instance in a row */
byte ghung; byte gstop; byte gheld;
bit  gfinal;     /* it ended, and the policy said no more; nobody asked again */
bit  gwell;      /* its main process ended by itself, with 0, and droverd lived */
bit  ghurry;     /* no order any more */
byte gprev;      /* gsince of before the last fork, until the child came to itself: what never ran takes up no interval */

#define empty    (!alive && !kids && !zombie)
#define known    (alive && recorded)   /* a record leads to it */
#define stopping (st == PROCESS_STOPPING)
#define isup     (st == PROCESS_STARTING || st == PROCESS_RUNNING)

inline end_probes() { pout = 0; prep = 0; bad = 0; pt = 0; ivl = 0 }
inline begin_probes() { pout = 0; prep = 0; bad = 0; pt = 0; ivl = PI }
inline deadline(event, ticks) { dev = event; d = ticks }
inline no_deadline() { dev = 0; d = OFF }
inline schedule() {
	if
	:: AUTOMATIC && since < MININT && !BUG_NOINTERVAL -> t = MININT - since
	:: else -> t = 0
	fi
}
inline tree_is_gone() {
	no_deadline(); held = 0; killed = 0; mended = 0; lost = 0; same = 0; ec = CAUSE_NONE; inh = 0;
	if
	:: !want || (!conf && !BUG_REMOVEDRESTARTS) -> ev = EV_GONE_DOWN; nc = CAUSE_NONE
	:: else ->
		if
		:: (!SERVICE && nc == CAUSE_LOST) || ALLOWED -> ev = EV_GONE_AGAIN
		:: else -> ev = EV_GONE_FINAL; gfinal = 1; assert(gwell || !PROBES_COUNT);
			if :: BUG_POLICYIGNORED -> ev = EV_GONE_AGAIN :: else -> nc = CAUSE_NONE fi
		fi
	fi
}
inline kill_tree() { killed = 1; deadline(EV_UNKILLABLE, KILLT) }
inline terminate() {
	assert(alive || zombie || kids);    /* nothing is signalled that is not ours */
	end_probes(); t = OFF; held = 0; gheld = 0; gstop = 0; deadline(EV_KILL_DUE, GRACE)
}
inline sweep() {
	end_probes(); t = OFF; held = 0; gheld = 0; gstop = 0;
	if
	:: !kids || BUG_NOCGROUP || BUG_MAINONLY -> tree_is_gone()
	:: else -> kill_tree()
	fi
}

/* process.c, feed() and act(): until no event follows from an action */
inline settle() {
	do
	:: ev != NOEV ->
		act = c_expr { model_action[now.st][now.ev] };
		nst = c_expr { model_next[now.st][now.ev] };
		assert(nst != 0);               /* an unlisted cell */
		c_code { model_met[now.st][now.ev] = 1; };
		st = nst; nst = 0; ev = NOEV;
		if
		:: act == ACT_NONE
		:: act == ACT_START_NOW -> t = 0
		:: act == ACT_START_LATER -> schedule()
		:: act == ACT_RETRY_LATER -> t = 1
		:: act == ACT_FORGET -> t = OFF; nc = CAUSE_NONE
		:: act == ACT_SPAWN ->          /* note_start(): on record before the fork */
			osince = since; spawning = 1; t = OFF; mended = 0; ec = CAUSE_NONE; strikes = 0; gfail = 0; inh = 0; claimed = 0; assert(dep || !NEEDS);
			if :: AUTOMATIC -> since = 0; if :: BUG_PERSISTLATE :: else -> psince = 0 fi :: else fi
		:: act == ACT_WATCH -> no_deadline(); nc = CAUSE_NONE; begin_probes()
		:: act == ACT_ADOPT -> nc = CAUSE_NONE; begin_probes()
		:: act == ACT_AWAIT -> deadline(EV_LATE, STARTT)
		:: act == ACT_TERMINATE -> rdy = 0; terminate();
			/* in reverse order: what depends on it went down first */
			assert(!user || ghurry || !(ec == CAUSE_OPERATOR || ec == CAUSE_SHUTDOWN))
		:: act == ACT_SWEEP -> sweep()
		:: act == ACT_LINGER -> if :: !kids || BUG_MAINONLY -> tree_is_gone() :: else fi
		:: act == ACT_KILL -> kill_tree()
		:: act == ACT_REPORT_STUCK -> no_deadline(); gstop = 0
		:: act == ACT_HOLD -> assert(since < MININT); held = 1; gheld = 0
		:: act == ACT_UNHOLD -> held = 0; gheld = 0; t = OFF
		:: else -> assert(false)        /* an action that the model does not know */
		fi;
		act = 0
	:: else -> break
	od;
	skip
}

/* ---- what the world reports ---- */
inline reap() {
	zombie = 0; mended = 1;
	efail = CODES && (!ended_well || inh || c_expr { model_automatic[now.ec] }); ended_well = 0;
	if
	:: ec == CAUSE_NONE && inh -> ec = CAUSE_LOST; nc = CAUSE_LOST
	:: ec == CAUSE_NONE && !inh -> ec = CAUSE_EXIT; nc = CAUSE_EXIT
	:: else
	fi;
	gfail = 0; ghung = 0; strikes = 0;
	ev = EV_EXIT
}
inline end_for(cause) { nc = cause; ec = cause; efail = CODES }
inline last_strike() {
	if
	:: PROBES_COUNT ->
		act = nc; nc = CAUSE_PROBE; schedule(); nc = act; act = 0;
		if
		:: t > 0 && !STOP_HELD -> ev = EV_HELD
		:: else -> end_for(CAUSE_PROBE); gfail = 0; strikes = 0; ev = EV_LAST_STRIKE
		fi
	:: else
	fi
}
inline failed(truly) {
	pout = 0; prep = 0; bad = 0; ivl = PI;
	if :: strikes < 4 -> strikes++ :: else fi;
	if :: truly && gfail < 4 -> gfail++ :: else fi;
	assert(strikes == gfail);
	if
	:: strikes >= 3 + BUG_FOURSTRIKES && !held -> last_strike()
	:: else
	fi
}
inline went_well() {
	pout = 0; prep = 0; ivl = PI; strikes = 0; gfail = 0; ghung = 0;
	if :: held && !BUG_HELDNOTCANCELLED -> ev = EV_WELL :: else fi
}
inline unknown() {
	pout = 0; prep = 0; bad = 0; ivl = PI; ghung = 0;
	if :: BUG_UNKNOWNCOUNTS -> failed(0) :: else fi
}
inline on_answers() {
	if
	:: pout && prep && bad -> failed(1)
	:: pout && prep && !bad -> went_well()
	:: else
	fi;
	if
	:: stale -> stale = 0;
		if :: BUG_STALEPROBE && st == PROCESS_RUNNING && strikes < 2 -> strikes++ :: else fi
	:: else
	fi;
	if :: st == PROCESS_STARTING && rdy && !spawning -> rdy = 0; ev = EV_READY :: else fi;
	assert(strikes == gfail)
}
/* process_look(): what is left of a tree */
inline look() {
	if
	:: (stopping || st == PROCESS_STUCK) && mended && (!kids || BUG_MAINONLY) && !alive -> tree_is_gone()
	:: (stopping || st == PROCESS_STUCK) && dev == EV_UNKILLABLE && d != OFF -> killed = 1
	:: else
	fi
}

inline deadlines() {
	if
	:: d != OFF && d > 0 && !late -> d--
	:: d != OFF && (d == 0 || late) ->
		if
		:: late && dev == EV_LATE -> d = STARTT       /* what it said meanwhile was not read yet */
		:: late && dev == EV_UNKILLABLE -> d = KILLT
		:: else ->
			d = OFF;
			if :: dev == EV_LATE -> end_for(CAUSE_PROBE) :: else fi;
			ev = dev
		fi
	:: else
	fi
}
inline probes() {
	if
	:: st == PROCESS_RUNNING && pout && !prep ->
		if :: pt > 0 -> pt-- :: else fi;
		if
		:: late -> if :: BUG_STALLBLAMED -> failed(0) :: else -> unknown() fi
		:: !late && pt == 0 -> if :: SERVICE -> unknown() :: else -> failed(1) fi
		:: else
		fi
	:: st == PROCESS_RUNNING && !pout && ivl > 0 ->
		if :: ivl > 1 -> ivl-- :: else -> pout = 1; prep = 0; bad = 0; pt = PT; ivl = 0 fi
	:: else
	fi
}
inline on_tick() {
	if
	:: late -> gsince = MININT; since = MININT; psince = MININT;
		if :: gprev -> gprev = MININT :: else fi; if :: osince -> osince = MININT :: else fi; gstop = 0; ghung = 0; gheld = 0;
		if :: t != OFF -> t = 0 :: else fi
	:: else ->
		if :: gsince < MININT -> gsince++ :: else fi;
		if :: gprev && gprev < MININT -> gprev++ :: else fi;
		if :: osince && osince < MININT -> osince++ :: else fi;
		if :: since < MININT -> since++ :: else fi;
		if :: psince < MININT -> psince++ :: else fi;
		if :: t != OFF && t > 0 -> t-- :: else fi
	fi;
	if :: hung && st == PROCESS_RUNNING && !held && PROBES_COUNT -> ghung++; assert(ghung <= HB) :: else -> ghung = 0 fi;
	if :: stopping -> gstop++; assert(gstop <= SB) :: else -> gstop = 0 fi;
	if :: held -> gheld++; assert(gheld <= LB) :: else -> gheld = 0 fi;
	deadlines();
	probes();
	tick = 0; late = 0
}

/* ---- commands and configuration ---- */
inline restart(cause) {
	want = 1; down = 0; gfinal = 0; nc = cause; gfail = 0; strikes = 0; turn = 0; tc = 0;
	if :: isup -> ec = cause :: else fi;
	ev = EV_RESTART
}
inline start(cause) {
	want = 1; down = 0; gfinal = 0;
	if
	:: turn == 1 && !same && isup && !BUG_OLDKEPT -> restart(CAUSE_CONFIG)
	:: else ->
		if :: turn == 1 -> turn = 0; tc = 0 :: else fi;
		if :: !isup -> nc = cause :: else fi;
		ev = EV_START
	fi
}
inline stop(cause, by_operator) {
	want = 0; gfail = 0; strikes = 0; turn = 0; tc = 0;
	if :: by_operator && !BUG_STOPNOTPERSISTED -> down = 1 :: else fi;
	if :: isup -> ec = cause :: else fi;
	ev = EV_STOP
}
/* order.c: one that is up goes when its turn has come */
inline order_stop(cause, by_operator) {
	if
	:: isup && SERVICE && NEEDS && !BUG_TURNSKIPPED ->
		turn = 1; tc = cause; want = 0;
		if :: by_operator && !BUG_STOPNOTPERSISTED -> down = 1 :: else fi
	:: else -> stop(cause, by_operator)
	fi
}
inline order_restart(cause) {
	if
	:: isup && SERVICE && NEEDS && !BUG_TURNSKIPPED -> turn = 2; tc = cause; want = 1; down = 0
	:: else -> restart(cause)
	fi
}
inline take_turn() {
	if
	:: turn == 1 && (!user || ghurry) -> act = tc; stop(act, 0); act = 0
	:: turn == 2 && (!user || ghurry) -> act = tc; restart(act); act = 0
	:: else
	fi
}
inline on_cmd() {
	if
	:: cmd == C_SHUT && !shut ->
		shut = 1;
		if :: BUG_SHUTWAITING && st == PROCESS_WAITING :: else -> order_stop(CAUSE_SHUTDOWN, 0) fi
	:: cmd == C_SHUT && shut ->             /* the second shortens the wait */
		ghurry = NEEDS;
		if :: stopping && dev == EV_KILL_DUE && d != OFF -> d = 0 :: else fi
	:: cmd == C_QUIT -> shut = 1; ghurry = NEEDS; stop(CAUSE_OPERATOR, 0)
	:: cmd == C_START && conf && !shut -> gwant = 1; start(CAUSE_OPERATOR)
	:: cmd == C_STOP && conf && !shut -> gwant = 0; order_stop(CAUSE_OPERATOR, 1)
	:: cmd == C_RESTART && conf && !shut -> gwant = 1; order_restart(CAUSE_OPERATOR)
	:: cmd == C_RELOAD && !shut ->          /* nothing changed: nothing moves */
		if :: BUG_RELOADREARMS && stopping && dev == EV_KILL_DUE -> d = GRACE :: else fi;
		if :: BUG_RELOADSTRIKES && st == PROCESS_RUNNING -> strikes = 0; gfail = 0; begin_probes() :: else fi
	:: cmd == C_CHANGE && conf && !shut ->  /* its command is another */
		if :: isup || stopping || st == PROCESS_STUCK -> same = 0 :: else fi;
		if :: want && !BUG_CONFIGFORGOTTEN -> restart(CAUSE_CONFIG) :: else fi
	:: cmd == C_REMOVE && conf && !shut -> conf = 0; order_stop(CAUSE_CONFIG, 0);
		if :: BUG_REMOVEDRESTARTS -> want = 1 :: else fi
	:: cmd == C_ADD && !conf && !shut -> conf = 1; gwant = 1; same = 0;
		start(CAUSE_CONFIG)     /* it may run still, as it was configured before */
	:: else                                 /* refused */
	fi
}

/* ---- a new droverd: adopt.c ---- */
#define was_up (nst == PROCESS_STARTING || nst == PROCESS_RUNNING)
inline note_lost() { efail = CODES; nc = CAUSE_LOST; ec = CAUSE_LOST }
/* Nothing of it lives, and it is wanted. */
inline go_on_down() {
	if :: was_up && !unclaimed -> note_lost() :: else fi;
	if
	:: nst == PROCESS_FAILED || (nst != PROCESS_WAITING && !(was_up && !unclaimed && !SERVICE) && !ALLOWED) ->
		if
		:: BUG_FINALFORGOTTEN -> nc = CAUSE_LOST; st = PROCESS_WAITING; schedule()
		:: !BUG_FINALFORGOTTEN && SERVICE && newcfg == 1 -> t = OFF; start(CAUSE_CONFIG)
		:: else -> st = PROCESS_FAILED; gfinal = 1; t = OFF; assert(gwell || !PROBES_COUNT)
		fi
	:: else ->
		if :: nst != PROCESS_WAITING -> schedule() :: else fi;
		st = PROCESS_WAITING
	fi
}
inline on_boot() {
	shut = 0; held = held && SERVICE; nfail = 0; turn = 0; tc = 0; ghurry = 0;
	end_probes(); flying = 0; stale = 0; no_deadline(); ghung = 0; gstop = 0;
	zombie = 0;     /* whoever was its parent reaped it */
	if :: newcfg == 1 -> same = 0 :: newcfg == 2 -> conf = 0 :: else fi;
	want = !down && conf;
	nst = st; st = PROCESS_STOPPED;
	if :: BUG_STRIKESLOST -> strikes = 0 :: else fi;
	if :: BUG_EFAILLOST -> efail = 0 :: else fi;
	unclaimed = spawning && (!claimed || BUG_CLAIMEDFORGOTTEN);
	if :: unclaimed && AUTOMATIC -> psince = osince :: else fi;
	spawning = 0; osince = 0; claimed = 0;
	if :: BUG_LOSTINTERVAL -> since = MININT :: else -> since = psince fi;
	if
	:: BUG_ADOPTBLIND -> mended = 0; if :: want -> nc = CAUSE_OPERATOR; ev = EV_START :: else fi
	:: !BUG_ADOPTBLIND && known && SERVICE && was_up ->
		mended = 0; ec = CAUSE_NONE; inh = CODES;
		if
		:: nst == PROCESS_RUNNING -> if :: BUG_HELDFORGOTTEN -> t = OFF :: else fi; ev = EV_ADOPTED
		:: else -> ev = EV_ADOPTED_EARLY
		fi
	:: !BUG_ADOPTBLIND && (known || kids) && !(known && SERVICE && was_up) ->
		/* a worker; one that was being ended; what its main process left behind */
		held = 0; t = OFF; strikes = 0; gfail = 0; inh = CODES;
		if :: was_up && !known -> note_lost() :: else fi;
		if :: was_up || nc == CAUSE_NONE -> nc = CAUSE_LOST :: else fi;
		if :: was_up || ec == CAUSE_NONE -> ec = CAUSE_LOST :: else fi;
		mended = !known; ev = EV_LEFTOVER
	:: !BUG_ADOPTBLIND && !known && !kids ->
		mended = 0; held = 0; strikes = 0; gfail = 0; killed = 0; inh = 0;
		if :: want -> go_on_down() :: else -> t = OFF fi;
		ec = CAUSE_NONE
	fi;
	newcfg = 0; nst = 0; unclaimed = 0
}
/* An adopted one that should not be there, or not like this, is ended in order. */
inline after_adoption() {
	if
	:: isup && !want && !BUG_ADOPTUNWANTED -> order_stop(CAUSE_OPERATOR, 0)
	:: isup && want && !same && !BUG_ADOPTSTALE -> restart(CAUSE_CONFIG)
	:: else
	fi
}
inline fork_it() {
	assert(empty);                                   /* S1 nothing of an earlier instance lives */
	assert(gwant && conf);                           /* nothing runs that the operator stopped or that is not configured */
	assert(!shut);                                   /* nothing starts after the shutdown began */
	assert(!AUTOMATIC || gsince >= MININT);          /* S3 */
	assert(!gfinal);                                 /* the policy said no more */
	if :: AUTOMATIC -> gprev = gsince; gsince = 0 :: else fi;
	gwell = 0; alive = 1; hung = 0; rdy = 0; killed = 0; recorded = 0; lost = 0; same = 1; ended_well = 0
}
#define is_due (t == 0 && (st == PROCESS_WAITING || (st == PROCESS_RUNNING && held)))

active proctype sup() {
	d_step { since = MININT; psince = MININT; gsince = MININT };
boot:	skip;
	{
		/* A child that has not come to itself still holds the lock of its dead droverd. */
		(!(alive && !recorded) || BUG_NOLOCK);
		d_step { on_boot(); up = 1; settle() };
		d_step { after_adoption(); settle() };
		do
		:: done -> break
		:: else ->
			atomic {
				d_step { if :: zombie -> reap(); settle() :: else fi };
				d_step { if :: tick -> on_tick(); settle() :: else fi };
				d_step { on_answers(); settle(); look(); settle() };
				if      /* the operator never tires */
				:: cmd = NONE
				:: cmd = C_START
				:: cmd = C_STOP
				:: cmd = C_RESTART
				:: cmd = C_RELOAD
				:: cmd = C_CHANGE
				:: conf -> cmd = C_REMOVE
				:: !conf -> cmd = C_ADD
				:: cmd = C_SHUT
				:: cmd = C_QUIT
				fi;
				d_step { if :: cmd != NONE -> on_cmd(); settle() :: else fi };
				d_step {
					if :: cmd == C_QUIT && stopping && dev == EV_KILL_DUE -> ev = EV_KILL_DUE; settle() :: else fi;
					if :: BUG_STARTDURINGSTOP && cmd == C_START && stopping -> st = PROCESS_WAITING; t = 0 :: else fi;
					cmd = NONE
				};
				d_step { take_turn(); settle() };
				if
				:: is_due && st == PROCESS_RUNNING -> d_step {
					assert(gfail >= 3);      /* one success cancels a held restart */
					end_for(CAUSE_PROBE); gfail = 0; strikes = 0; ev = EV_HELD_DUE; settle() }
				:: is_due && st == PROCESS_WAITING && (dep || !NEEDS || BUG_NEEDSIGNORED) -> d_step { ev = EV_DUE; settle() }
				:: else
				fi
			};
			if      /* a start: on record, forked, done; SIGKILL may come between */
			:: spawning ->
				if
				:: d_step { fork_it(); spawning = 2 }
				:: !nfail -> nfail = 1
				fi;
				d_step {
					if
					:: spawning == 2 -> deadline(EV_LATE, STARTT); nfail = 0; efail = 0
					:: else -> since = osince; psince = osince; ev = EV_SPAWN_FAILED; settle()
					fi;
					if :: BUG_PERSISTLATE && AUTOMATIC -> psince = since :: else fi;
					spawning = 0; osince = 0; claimed = 0 }
			:: else
			fi;
			d_step {
				assert(!isup || turn || (want && conf && gwant));   /* what is not wanted is being ended, or waits for its turn */
				assert(!isup || turn || same || spawning);          /* and so is what was started with another configuration */
				if
				:: shut && (st == PROCESS_STOPPED || st == PROCESS_STUCK || st == PROCESS_FAILED) -> done = 1
				:: else
				fi };
		od
	} unless {
		d_step { crash -> crash = 0; up = 0; cmd = NONE; ev = NOEV; act = 0; nst = 0; tick = 0; late = 0; lost = alive && !SERVICE };
		goto boot
	}
}

active proctype clock() {
	do
	:: d_step { !tick && !done && up -> tick = 1 }
	:: d_step { !tick && !done && up && nstall < c_expr { model_stalls } -> tick = 1; late = 1; nstall++ }
	:: done -> break
	od
}

active proctype killer() {
	byte z;
	do
	:: atomic { ncrash < c_expr { model_crashes } && !shut && !done && up -> ncrash++;
		if :: SERVICE -> newcfg = 1 :: newcfg = 2 :: skip fi;
		crash = 1 }
#ifdef STUTTER
	:: d_step { z == 0 -> z = 0 }   /* weak fairness must not force the crash */
#endif
	:: done -> break
	od
}

/* Dead before it came to itself: nothing was run, unless droverd has it on record. */
inline never_was() { if :: !recorded && spawning -> gsince = (gprev -> gprev : gsince) :: else fi; gprev = 0 }

/* What the process and the kernel may do. */
active proctype may() {
	byte z;
end:	do
	:: d_step { alive && recorded && !hung && !rdy && st == PROCESS_STARTING -> rdy = 1 }
	:: d_step { alive && recorded && !hung -> hung = 1 }
	:: d_step { alive && hung -> hung = 0 }
	:: d_step { alive && pout && !prep && !hung -> prep = 1; bad = 0 }
	:: d_step { alive && pout && !prep && hung && SERVICE -> prep = 1; bad = 1 }   /* the monitor's answer; none is unknown */
	:: d_step { flying -> flying = 0; stale = 1 }
	:: d_step { kids && !alive -> kids = 0 }
	:: d_step { NEEDS -> dep = !dep }
	:: d_step { NEEDS && user -> user = 0 }
	:: d_step { NEEDS && !user && st == PROCESS_RUNNING && !turn -> user = 1 }
	:: atomic { alive ->
		if :: recorded -> kids = 1 :: kids = 0 fi;
		if :: pout && BUG_STALEPROBE -> if :: flying = 1 :: skip fi :: else fi;
		if :: CODES -> ended_well = 1 :: ended_well = 0 fi;
		gwell = ended_well && up && isup;
		never_was();
		alive = 0; zombie = up; hung = 0; rdy = 0; recorded = 0; prep = 0; bad = 0 }
#ifdef STUTTER
	:: d_step { z == 0 -> z = 0 }
#endif
	:: done && empty -> break
	od
}
/* What they must: a new process comes to itself, KILL reaches the whole tree, a worker leaves when its channel closes. */
active proctype must() {
end:	do
	:: d_step { alive && !recorded -> recorded = 1; gprev = 0; claimed = spawning != 0 }
	:: d_step { killed && (alive || kids) ->
		if :: alive -> zombie = up; ended_well = 0; gwell = 0; never_was() :: else fi;
		alive = 0; kids = 0; hung = 0; rdy = 0; recorded = 0; prep = 0; bad = 0 }
	:: d_step { lost && alive && !hung -> alive = 0; zombie = up; rdy = 0; never_was(); recorded = 0; gwell = 0 }
	:: done && empty -> break
	od
}

ltl hunglive { [] ( (hung && st == PROCESS_RUNNING) -> <> !(hung && st == PROCESS_RUNNING) ) }
ltl stoplive { [] ( stopping -> <> !stopping ) }
ltl shutlive { [] ( shut -> <> done ) }
ltl uplive   { [] ( (gwant && conf && !shut) -> <> (isup || st == PROCESS_FAILED || st == PROCESS_STUCK || !gwant || !conf || shut) ) }
