;; The Internet checksum (RFC 1071) with 128-bit vectors: the source of lib/wire/checksum-simd-module.ts, which
;; `node --import tsx scripts/assemble-checksum.ts` makes of it.
;;
;; sum(length): the one's-complement sum, folded to 16 bits, of the little-endian 16-bit words in memory[0…length).
;; An odd last byte counts as the low half of a word. `length` is at most 131056, so that no lane overflows: the sum
;; of all words is below 2^32. Sixteen bytes behind the data are overwritten with zeroes.
(module
  (memory (export "memory") 2)
  (func (export "sum") (param $length i32) (result i32)
    (local $at i32)
    (local $stop i32)
    (local $a v128)
    (local $b v128)

    local.get $length
    v128.const 0
    v128.store

    ;; 64 bytes at a time, as long as there are as many
    local.get $length
    i32.const -64
    i32.and
    local.set $stop
    block
      local.get $stop
      i32.eqz
      br_if 0
      loop
        local.get $a
        local.get $at
        v128.load 0
        i32x4.extadd_pairwise_i16x8_u
        i32x4.add
        local.get $at
        v128.load 16
        i32x4.extadd_pairwise_i16x8_u
        i32x4.add
        local.set $a
        local.get $b
        local.get $at
        v128.load 32
        i32x4.extadd_pairwise_i16x8_u
        i32x4.add
        local.get $at
        v128.load 48
        i32x4.extadd_pairwise_i16x8_u
        i32x4.add
        local.set $b
        local.get $at
        i32.const 64
        i32.add
        local.tee $at
        local.get $stop
        i32.lt_u
        br_if 0
      end
    end

    ;; then 16 at a time, the zeroes at the end included
    block
      loop
        local.get $at
        local.get $length
        i32.ge_u
        br_if 1
        local.get $a
        local.get $at
        v128.load 0
        i32x4.extadd_pairwise_i16x8_u
        i32x4.add
        local.set $a
        local.get $at
        i32.const 16
        i32.add
        local.set $at
        br 0
      end
    end

    local.get $a
    local.get $b
    i32x4.add
    local.tee $a
    i32x4.extract_lane 0
    local.get $a
    i32x4.extract_lane 1
    i32.add
    local.get $a
    i32x4.extract_lane 2
    i32.add
    local.get $a
    i32x4.extract_lane 3
    i32.add
    local.tee $at

    ;; folded twice: the first fold leaves at most 17 bits
    i32.const 16
    i32.shr_u
    local.get $at
    i32.const 65535
    i32.and
    i32.add
    local.tee $at
    i32.const 16
    i32.shr_u
    local.get $at
    i32.add
    i32.const 65535
    i32.and
  )
)
