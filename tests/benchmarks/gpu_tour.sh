#!/usr/bin/env bash
# What a machine with a GPU should tell in twelve minutes, the most important first.
#
#   tests/benchmarks/gpu_tour.sh --out DIR                         # all steps, 570 s at most
#   tests/benchmarks/gpu_tour.sh --out DIR --limit 150 doctor aa   # these steps only
#   tests/benchmarks/gpu_tour.sh --out DIR --device cpu --profile smoke --limit 3000   # does it work?
#
# Each step has a time limit and a log, and a failed one ends no other. Runs write records.jsonl
# below DIR as they measure; a run that its limit ends keeps what it has. DIR/tour.tsv has a line
# for each step: its name, its exit code, its seconds.
set -u

out='' device=cuda profile=quick limit=570 chosen=()
while (($#)); do
  case $1 in
    --out) out=${2:?--out: which folder?}; shift 2 ;;
    --device) device=${2:?--device: cuda or cpu?}; shift 2 ;;
    --profile) profile=${2:?--profile: which?}; shift 2 ;;
    --limit) limit=${2:?--limit: how many seconds?}; shift 2 ;;
    -*) echo "gpu_tour.sh: $1: there are --out, --device, --profile and --limit" >&2; exit 2 ;;
    *) chosen+=("$1"); shift ;;
  esac
done
[[ -n $out ]] || { echo 'gpu_tour.sh: --out DIR says where the results go' >&2; exit 2; }
all=(facts certificates train14 train14_engines train50 infer14 infer14_engines)
all+=(doctor yardstick neighbours aa exact graphs certificates50)
((${#chosen[@]})) || chosen=("${all[@]}")
for name in "${chosen[@]}"; do
  [[ " ${all[*]} " == *" $name "* ]] || { echo "gpu_tour.sh: $name: steps are ${all[*]}" >&2; exit 2; }
done
cd "$(dirname "$0")/../.." || exit 2
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
python=${PYTHON:-python3}

# What a CPU has not is left out there, and loads are such that it ends
modes=(eager compiled reduce-overhead cuda-graph cuda-graph-compiled)
engine_modes=(compiled cuda-graph-compiled)
batch=256 batch50=256 half=bf16 rounding=tf32 steps14=6000 steps50=120 rounds=10 block=200 block50=10
replicates=3 processes=2 repeats=2 large=resnet50 proof=--certify
patience=1  # times as long as a GPU's may a step take
if [[ $device == cpu ]]; then
  patience=10 modes=(eager compiled) engine_modes=(compiled) rounding=bf16
fi
if [[ $profile == smoke ]]; then  # each step once and small, and runs proved in train14 alone
  batch=8 batch50=2 half=fp32 steps14=4 steps50=4 rounds=1 block=1 block50=1
  replicates=1 processes=1 repeats=1 large=resnet18 proof=--no-certify
fi

remaining() { echo $((limit - SECONDS)); }

# step NAME SECONDS COMMAND…: run it within its limit and that of the tour
step() {
  local name=$1 most=$(($2 * patience)) began=$SECONDS code
  shift 2
  ((most > $(remaining))) && most=$(remaining)
  if ((most < 10)); then
    printf '%s\t%s\t%s\n' "$name" 'no time left' 0 | tee -a "$out/tour.tsv"
    return 1
  fi
  timeout --signal=INT --kill-after=10 "$most" "$@" >"$out/$name.log" 2>&1
  code=$?
  printf '%s\t%s\t%s\n' "$name" "$code" $((SECONDS - began)) | tee -a "$out/tour.tsv"
  return "$code"
}

# measured DIR: whether a run of that folder has at least one row that counts
measured() { grep -qs '"status": "ok"' "$out/$1/records.jsonl"; }

bench() { "$python" -m bench "$@"; }
run() {
  local name=$1 most=$2
  shift 2
  step "$name" "$most" "$python" -m bench run --device "$device" --profile "$profile" \
    --replicates "$replicates" --share-compile-cache --dataset synthetic --out "$out/$name" "$@"
  measured "$name"
}

facts() {
  step versions 30 "$python" -m bench machine
  if [[ $device == cpu ]]; then
    printf '%s\t%s\t%s\n' nvidia-smi 'needs a GPU' 0 | tee -a "$out/tour.tsv"
  else
    step nvidia-smi 10 nvidia-smi -q
  fi
  step list 30 "$python" -m bench list
}

certificates() {
  step certificates 120 "$python" -m bench certify --device "$device" --precision "$half" \
    --impl torch_module --mode "${modes[@]}" --out "$out/certificates.md"
}

train14() {
  local common=(--workload train --precision "$half" --batch-size "$batch" --steps "$steps14")
  run train14 260 --impl torch_module --mode "${modes[@]}" "${common[@]}" ||
    run train14_eager 60 --impl torch_module --mode eager "${modes[-1]}" "${common[@]}" ||
    run train14_bare 40 --no-certify --impl torch_module "${common[@]}"
}

train14_engines() {  # torch_module compiled is what joins them to the modes above
  run train14_engines 150 "$proof" --impl torch_module flax_nnx 'keras_functional[jax]' \
    --mode compiled --workload train --precision "$half" --batch-size "$batch" --steps "$steps14"
}

infer14() {
  local common=(--workload infer --precision "$half" --batch-size "$batch" --steps "$steps14")
  run infer14 170 --impl torch_module --mode eager "${modes[@]:3}" "${common[@]}" ||
    run infer14_eager 40 --no-certify --impl torch_module --mode eager "${common[@]}"
}

infer14_engines() {  # torch_module compiled is what joins them to the modes above
  run infer14_engines 150 "$proof" --impl torch_module torch_export flax_nnx \
    --mode "${engine_modes[@]}" --workload infer --precision "$half" --batch-size "$batch" \
    --steps "$steps14"
}

train50() {
  local common=(--model "$large" --workload train --precision "$half" --batch-size "$batch50")
  common+=(--steps "$steps50" --no-certify)
  cat >"$out/train50.toml" <<'SUITE'
[[matrix]]
impl = ["torchvision_model"]
mode = ["eager", "compiled"]
[[matrix]]
impl = ["flax_nnx"] # which has no eager mode
mode = ["compiled"]
SUITE
  run train50 180 --config "$out/train50.toml" "${common[@]}" ||
    run train50_half 60 --impl torchvision_model --mode eager "${common[@]}"
}

doctor() { step doctor 120 "$python" -m bench doctor; }

yardstick() {
  local common=(--mode eager --device "$device" --rounds "$rounds" --processes "$processes")
  step yardstick14 60 "$python" tests/benchmarks/yardstick.py torch_module \
    --batch-size "$batch" --steps "$block" "${common[@]}"
  step yardstick50 60 "$python" tests/benchmarks/yardstick.py torchvision_model \
    --model "$large" --batch-size "$batch50" --steps "$block50" "${common[@]}"
}

neighbours() {
  step neighbours 90 "$python" tests/benchmarks/instrument.py neighbours --device "$device" \
    --rounds "$rounds" --repeats "$repeats"
}

aa() { step aa 250 "$python" -m bench doctor --aa --device "$device"; }

exact() {
  run exact 120 "$proof" --impl torch_module flax_nnx --mode compiled --workload train \
    --precision fp32 "$rounding" --batch-size "$batch" --steps "$steps14"
}

graphs() {  # XLA's: what it gains by convolutions and loops in them
  run graphs 150 "$proof" --impl flax_nnx --mode "${engine_modes[@]}" --workload train \
    --precision "$half" --batch-size "$batch" --steps "$steps14"
}

certificates50() {
  step certificates50 150 "$python" -m bench certify --device "$device" --precision "$half" \
    --model "$large" --impl torchvision_model flax_nnx --out "$out/certificates50.md"
}

for name in "${chosen[@]}"; do "$name"; done
echo "results: $out"
# A tour that measured nothing has failed
compgen -G "$out/*/records.jsonl" >/dev/null || [[ " ${chosen[*]} " != *14* && " ${chosen[*]} " != *50* ]]
