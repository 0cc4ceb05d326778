;; SPDX-License-Identifier: Apache-2.0
;;
;; Answers wasi_snapshot_preview1 inside a component, on top of WASI 0.2.
;;
;; The module owns no memory, no stack and no data. It works in the memory of the
;; main module, and where a WASI 0.2 function wants a return area it borrows the
;; 16 bytes at $area: they are saved in locals before the call and restored after
;; it. Nothing of the main module runs meanwhile, so nothing can notice.
;;
;; While the global "quiet" is not zero (the shim sets it around cabi_realloc and
;; post-return functions) no import may be called, the Component Model traps it.
;; Clocks then repeat their last answer, random numbers come from a xorshift of
;; the last real one, writes are taken and lost, and polls return at once.
;;
;; A component has no files, sockets, arguments or environment: 0 to 2 are
;; character devices, every other descriptor is EBADF.
(module $preview1
  (import "wasi:io/error@0.2.0" "[resource-drop]error" (func $drop_error (param i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $blocking_write (param i32 i32 i32 i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $monotonic_now (result i64)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
  (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall_now (param i32)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $get_random (result i64)))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $get_stdout (result i32)))
  (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $get_stderr (result i32)))
  (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
  (import "main" "memory" (memory 0))
  (import "shim" "quiet" (global $quiet (mut i32)))

  (global $area i32 (i32.const 16))

  ;; errno values
  (global $success i32 (i32.const 0))
  (global $badf i32 (i32.const 8))
  (global $inval i32 (i32.const 28))
  (global $io i32 (i32.const 29))
  (global $nosys i32 (i32.const 52))
  (global $pipe i32 (i32.const 64))
  (global $spipe i32 (i32.const 70))

  ;; the last answers, for when it must be quiet
  (global $last_wall (mut i64) (i64.const 0))
  (global $last_monotonic (mut i64) (i64.const 0))
  (global $seed (mut i64) (i64.const 0x9e3779b97f4a7c15))

  ;; handles of the streams, -1 until they are first written to
  (global $stdout (mut i32) (i32.const -1))
  (global $stderr (mut i32) (i32.const -1))

  ;; ---- clocks ----

  ;; Nanoseconds since 1970.
  (func $wall (result i64)
    (local $save0 i64) (local $save1 i64)
    (if (i32.eqz (global.get $quiet))
      (then
        (local.set $save0 (i64.load (global.get $area)))
        (local.set $save1 (i64.load offset=8 (global.get $area)))
        (call $wall_now (global.get $area))
        (global.set $last_wall
          (i64.add
            (i64.mul (i64.load (global.get $area)) (i64.const 1000000000))
            (i64.load32_u offset=8 (global.get $area))))
        (i64.store (global.get $area) (local.get $save0))
        (i64.store offset=8 (global.get $area) (local.get $save1))))
    (global.get $last_wall))

  ;; Nanoseconds since some point in the past, and never 0: Go takes a clock that
  ;; reads 0 for a broken one, and a host may start there.
  (func $monotonic (result i64)
    (if (i32.eqz (global.get $quiet))
      (then
        (global.set $last_monotonic (call $monotonic_now))
        (if (i64.eqz (global.get $last_monotonic))
          (then (global.set $last_monotonic (i64.const 1))))))
    (global.get $last_monotonic))

  ;; clocks: 0 realtime, 1 monotonic
  (func (export "clock_res_get") (param $clock i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $clock) (i32.const 1))
      (then (return (global.get $inval))))
    (i64.store (local.get $out) (i64.const 1))
    (global.get $success))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $clock) (i32.const 1))
      (then (return (global.get $inval))))
    (i64.store (local.get $out)
      (if (result i64) (local.get $clock)
        (then (call $monotonic))
        (else (call $wall))))
    (global.get $success))

  ;; ---- randomness ----

  (func $random (result i64)
    (if (i32.eqz (global.get $quiet))
      (then (global.set $seed (call $get_random)))
      (else
        ;; zero is the one state that xorshift never leaves
        (if (i64.eqz (global.get $seed))
          (then (global.set $seed (i64.const 0x9e3779b97f4a7c15))))
        (global.set $seed (i64.xor (global.get $seed) (i64.shl (global.get $seed) (i64.const 13))))
        (global.set $seed (i64.xor (global.get $seed) (i64.shr_u (global.get $seed) (i64.const 7))))
        (global.set $seed (i64.xor (global.get $seed) (i64.shl (global.get $seed) (i64.const 17))))))
    (global.get $seed))

  (func (export "random_get") (param $p i32) (param $len i32) (result i32)
    (local $r i64)
    (block $done
      (loop $words
        (br_if $done (i32.lt_u (local.get $len) (i32.const 8)))
        (i64.store align=1 (local.get $p) (call $random))
        (local.set $p (i32.add (local.get $p) (i32.const 8)))
        (local.set $len (i32.sub (local.get $len) (i32.const 8)))
        (br $words)))
    (if (i32.eqz (local.get $len))
      (then (return (global.get $success))))
    (local.set $r (call $random))
    (loop $bytes
      (i64.store8 (local.get $p) (local.get $r))
      (local.set $r (i64.shr_u (local.get $r) (i64.const 8)))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br_if $bytes (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))
    (global.get $success))

  ;; ---- output ----

  ;; The stream of descriptor 1 or 2.
  (func $stream (param $fd i32) (result i32)
    (if (i32.eq (local.get $fd) (i32.const 1))
      (then
        (if (i32.eq (global.get $stdout) (i32.const -1))
          (then (global.set $stdout (call $get_stdout))))
        (return (global.get $stdout))))
    (if (i32.eq (global.get $stderr) (i32.const -1))
      (then (global.set $stderr (call $get_stderr))))
    (global.get $stderr))

  ;; Writes at most 4096 bytes, as WASI 0.2 bounds it, and returns an errno. The
  ;; bytes may lie in the area: they are read before the result is written.
  (func $write (param $stream i32) (param $p i32) (param $len i32) (result i32)
    (local $save0 i64) (local $save1 i64) (local $failed i32) (local $case i32) (local $error i32)
    (local.set $save0 (i64.load (global.get $area)))
    (local.set $save1 (i64.load offset=8 (global.get $area)))
    (call $blocking_write (local.get $stream) (local.get $p) (local.get $len) (global.get $area))
    (local.set $failed (i32.load8_u (global.get $area)))
    (local.set $case (i32.load8_u offset=4 (global.get $area)))
    (local.set $error (i32.load offset=8 (global.get $area)))
    (i64.store (global.get $area) (local.get $save0))
    (i64.store offset=8 (global.get $area) (local.get $save1))
    (if (i32.eqz (local.get $failed))
      (then (return (global.get $success))))
    (if (local.get $case)                     ;; closed
      (then (return (global.get $pipe))))
    (call $drop_error (local.get $error))     ;; last-operation-failed(error)
    (global.get $io))

  (func (export "fd_write") (param $fd i32) (param $iovs i32) (param $n i32) (param $out i32) (result i32)
    (local $total i32) (local $p i32) (local $len i32) (local $chunk i32) (local $errno i32)
    (if (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1))
      (then (return (global.get $badf))))
    (block $failed
      (block $done
        (loop $next
          (br_if $done (i32.eqz (local.get $n)))
          (local.set $p (i32.load (local.get $iovs)))
          (local.set $len (i32.load offset=4 (local.get $iovs)))
          (local.set $iovs (i32.add (local.get $iovs) (i32.const 8)))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (if (global.get $quiet)
            (then
              (local.set $total (i32.add (local.get $total) (local.get $len)))
              (br $next)))
          (loop $chunks
            (br_if $next (i32.eqz (local.get $len)))
            (local.set $chunk
              (select (local.get $len) (i32.const 4096) (i32.lt_u (local.get $len) (i32.const 4096))))
            (local.set $errno (call $write (call $stream (local.get $fd)) (local.get $p) (local.get $chunk)))
            (br_if $failed (local.get $errno))
            (local.set $total (i32.add (local.get $total) (local.get $chunk)))
            (local.set $p (i32.add (local.get $p) (local.get $chunk)))
            (local.set $len (i32.sub (local.get $len) (local.get $chunk)))
            (br $chunks))))
      (i32.store (local.get $out) (local.get $total))
      (return (global.get $success)))
    ;; what was written before counts; the next write meets the error again
    (if (i32.eqz (local.get $total))
      (then (return (local.get $errno))))
    (i32.store (local.get $out) (local.get $total))
    (global.get $success))

  ;; ---- waiting ----

  ;; Subscription: 0 userdata, 8 tag; clock (tag 0): 16 id, 24 timeout, 40 flags
  ;; (1 absolute); descriptors (tags 1 and 2): 16 fd. Size 48.
  ;; Event: 0 userdata, 8 errno (16 bits), 10 type, 16 bytes, 24 flags. Size 32.
  ;; The two arrays may not overlap, as the interface says.

  (func $event (param $event i32) (param $sub i32) (param $errno i32)
    (i64.store (local.get $event) (i64.load (local.get $sub)))
    (i32.store offset=8 (local.get $event)
      (i32.or (local.get $errno)
        (i32.shl (i32.load8_u offset=8 (local.get $sub)) (i32.const 16))))
    (i32.store offset=12 (local.get $event) (i32.const 0))
    (i64.store offset=16 (local.get $event) (i64.const 0))
    (i64.store offset=24 (local.get $event) (i64.const 0)))

  ;; Nanoseconds until a clock subscription is due.
  (func $due (param $sub i32) (result i64)
    (local $timeout i64) (local $now i64)
    (local.set $timeout (i64.load offset=24 (local.get $sub)))
    (if (i32.eqz (i32.and (i32.load16_u offset=40 (local.get $sub)) (i32.const 1)))
      (then (return (local.get $timeout))))
    (local.set $now
      (if (result i64) (i32.load offset=16 (local.get $sub))
        (then (call $monotonic))
        (else (call $wall))))
    (if (i64.le_u (local.get $timeout) (local.get $now))
      (then (return (i64.const 0))))
    (i64.sub (local.get $timeout) (local.get $now)))

  ;; Descriptors are always ready, and what is wrong is an event at once; only
  ;; where there are clocks alone does it wait, for the one that is due first.
  (func (export "poll_oneoff") (param $subs i32) (param $events i32) (param $n i32) (param $out i32) (result i32)
    (local $end i32) (local $sub i32) (local $tag i32) (local $count i32)
    (local $first i32) (local $wait i64) (local $due i64) (local $pollable i32)
    (if (i32.eqz (local.get $n))
      (then (return (global.get $inval))))
    (local.set $sub (local.get $subs))
    (local.set $end (i32.add (local.get $subs) (i32.mul (local.get $n) (i32.const 48))))
    (loop $next
      (local.set $tag (i32.load8_u offset=8 (local.get $sub)))
      (if (i32.gt_u (local.get $tag) (i32.const 2))
        (then (return (global.get $inval))))
      (if (i32.or (local.get $tag) (i32.gt_u (i32.load offset=16 (local.get $sub)) (i32.const 1)))
        (then
          (call $event
            (i32.add (local.get $events) (i32.shl (local.get $count) (i32.const 5)))
            (local.get $sub)
            (if (result i32) (local.get $tag)
              (then (call $stdio (i32.load offset=16 (local.get $sub)) (global.get $success)))
              (else (global.get $inval))))
          (local.set $count (i32.add (local.get $count) (i32.const 1))))
        (else
          (local.set $due (call $due (local.get $sub)))
          (if (i32.or (i32.eqz (local.get $first)) (i64.lt_u (local.get $due) (local.get $wait)))
            (then
              (local.set $first (local.get $sub))
              (local.set $wait (local.get $due))))))
      (br_if $next
        (i32.lt_u (local.tee $sub (i32.add (local.get $sub) (i32.const 48))) (local.get $end))))
    (if (i32.eqz (local.get $count))
      (then
        (if (i32.eqz (i32.or (global.get $quiet) (i64.eqz (local.get $wait))))
          (then
            (call $block (local.tee $pollable (call $subscribe (local.get $wait))))
            (call $drop_pollable (local.get $pollable))))
        (call $event (local.get $events) (local.get $first) (global.get $success))
        (local.set $count (i32.const 1))))
    (i32.store (local.get $out) (local.get $count))
    (global.get $success))

  (func (export "sched_yield") (result i32)
    (global.get $success))

  ;; ---- the process ----

  (func (export "proc_exit") (param $code i32)
    (if (i32.eqz (global.get $quiet))
      (then (call $exit (i32.ne (local.get $code) (i32.const 0)))))
    (unreachable))

  (func (export "proc_raise") (param i32) (result i32)
    (global.get $nosys))

  (func $none (export "args_sizes_get") (export "environ_sizes_get")
    (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (global.get $success))

  (func (export "args_get") (export "environ_get") (param i32 i32) (result i32)
    (global.get $success))

  ;; ---- descriptors ----

  ;; $errno for 0, 1 and 2, EBADF for every other descriptor.
  (func $stdio (param $fd i32) (param $errno i32) (result i32)
    (select (local.get $errno) (global.get $badf) (i32.lt_u (local.get $fd) (i32.const 3))))

  ;; stdin is at its end
  (func (export "fd_read") (param $fd i32) (param $iovs i32) (param $n i32) (param $out i32) (result i32)
    (if (local.get $fd)
      (then (return (global.get $badf))))
    (i32.store (local.get $out) (i32.const 0))
    (global.get $success))

  ;; 0 type (2: character device), 2 flags, 8 rights (read 2, write 64, poll 1<<27), 16 rights of what it opens
  (func (export "fd_fdstat_get") (param $fd i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2))
      (then (return (global.get $badf))))
    (i64.store (local.get $out) (i64.const 2))
    (i64.store offset=8 (local.get $out)
      (select (i64.const 0x8000040) (i64.const 0x8000002) (local.get $fd)))
    (i64.store offset=16 (local.get $out) (i64.const 0))
    (global.get $success))

  ;; 16 type; device, inode, links, size and times are zero
  (func (export "fd_filestat_get") (param $fd i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2))
      (then (return (global.get $badf))))
    (i64.store (local.get $out) (i64.const 0))
    (i64.store offset=8 (local.get $out) (i64.const 0))
    (i64.store offset=16 (local.get $out) (i64.const 2))
    (i64.store offset=24 (local.get $out) (i64.const 0))
    (i64.store offset=32 (local.get $out) (i64.const 0))
    (i64.store offset=40 (local.get $out) (i64.const 0))
    (i64.store offset=48 (local.get $out) (i64.const 0))
    (i64.store offset=56 (local.get $out) (i64.const 0))
    (global.get $success))

  (func (export "fd_close") (export "fd_datasync") (export "fd_sync") (param $fd i32) (result i32)
    (call $stdio (local.get $fd) (global.get $success)))
  (func (export "fd_fdstat_set_flags") (param $fd i32) (param i32) (result i32)
    (call $stdio (local.get $fd) (global.get $success)))
  (func (export "fd_fdstat_set_rights") (param $fd i32) (param i64 i64) (result i32)
    (call $stdio (local.get $fd) (global.get $success)))
  (func (export "fd_advise") (param $fd i32) (param i64 i64 i32) (result i32)
    (call $stdio (local.get $fd) (global.get $spipe)))
  (func (export "fd_allocate") (param $fd i32) (param i64 i64) (result i32)
    (call $stdio (local.get $fd) (global.get $spipe)))
  (func (export "fd_pread") (export "fd_pwrite") (param $fd i32) (param i32 i32 i64 i32) (result i32)
    (call $stdio (local.get $fd) (global.get $spipe)))
  (func (export "fd_seek") (param $fd i32) (param i64 i32 i32) (result i32)
    (call $stdio (local.get $fd) (global.get $spipe)))
  (func (export "fd_tell") (param $fd i32) (param i32) (result i32)
    (call $stdio (local.get $fd) (global.get $spipe)))
  (func (export "fd_filestat_set_size") (param $fd i32) (param i64) (result i32)
    (call $stdio (local.get $fd) (global.get $inval)))
  (func (export "fd_filestat_set_times") (param $fd i32) (param i64 i64 i32) (result i32)
    (call $stdio (local.get $fd) (global.get $inval)))

  (func (export "fd_renumber") (param i32 i32) (result i32)
    (global.get $nosys))

  ;; ---- directories and sockets: there are none ----

  (func (export "fd_prestat_get") (export "sock_shutdown") (param i32 i32) (result i32)
    (global.get $badf))
  (func (export "fd_prestat_dir_name") (export "path_create_directory") (export "path_remove_directory")
    (export "path_unlink_file") (export "sock_accept") (param i32 i32 i32) (result i32)
    (global.get $badf))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32)
    (global.get $badf))
  (func (export "path_filestat_get") (export "path_symlink") (export "sock_send")
    (param i32 i32 i32 i32 i32) (result i32)
    (global.get $badf))
  (func (export "path_readlink") (export "path_rename") (export "sock_recv")
    (param i32 i32 i32 i32 i32 i32) (result i32)
    (global.get $badf))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
    (global.get $badf))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32)
    (global.get $badf))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)
    (global.get $badf))
)
