#!/usr/bin/env bash
# A training over nodes, a search of many processes, photographs read by a Dask cluster.
#
#   sbatch --nodes 2 docs/examples/slurm.sh train data/odir --batch_size 256
#   sbatch --nodes 1 --array 1-8 docs/examples/slurm.sh tune data/odir --trials 80
#   sbatch --nodes 4 --ntasks-per-node 8 docs/examples/slurm.sh preprocess /data/odir data/odir
#
# More flags of the entry point may follow.
# The folder, the photographs and the environment are on a file system that every node sees. What
# follows lies in a file of your own with mode 600 that this script reads, ~/.fundus.env:
#
#   export MLFLOW_TRACKING_URI=https://tracking.example.org
#   export MLFLOW_TRACKING_USERNAME=… MLFLOW_TRACKING_PASSWORD=…
#   export FUNDUS_RESULTS_URI=postgresql+psycopg://user@host/results
#   export FUNDUS_STUDIES_URI=postgresql+psycopg://user@host/studies
#   export PGPASSFILE=$HOME/.pgpass
#SBATCH --job-name fundus
#SBATCH --ntasks-per-node 1
#SBATCH --gpus-per-node 4
#SBATCH --cpus-per-task 16
#SBATCH --time 24:00:00
#SBATCH --signal TERM@120
#SBATCH --requeue
set -euo pipefail
what=${1:?train, tune or preprocess}
folder=${2:?a dataset folder, or the photographs to preprocess}
shift 2

source "$HOME/.fundus.env"
source .venv/bin/activate
export PYTHONPATH=$PWD # the scheduler and the workers of Dask import the project too
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

case "$what" in
train) # one run; a job that is requeued goes on from its checkpoint
  srun torchrun \
    --nnodes "$SLURM_NNODES" --nproc_per_node "$SLURM_GPUS_ON_NODE" \
    --rdzv_backend c10d --rdzv_endpoint "$first:29500" --rdzv_id "$SLURM_JOB_ID" \
    -m experiments.train --dataset "$folder" "$@"
  ;;
tune) # each task of the array is a process of one study, on a GPU of its own
  srun --gpus-per-task 1 python -m experiments.tune \
    --dataset "$folder" --study "fundus-$(basename "$folder")" --retrain true "$@"
  ;;
preprocess) # scheduler on the first node, a worker per task
  address="tcp://$first:8786"
  srun --overlap --nodes 1 --ntasks 1 --nodelist "$first" dask scheduler --port 8786 &
  srun --overlap dask worker "$address" --nthreads 1 --nworkers 1 &
  python -m experiments.preprocess --source odir --root "$folder" \
    --out "${1:?a folder to write}" --backend dask --scheduler "$address" "${@:2}"
  kill %1 %2
  ;;
esac
