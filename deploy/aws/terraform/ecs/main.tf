# The collector on ECS, as one service: for queues as many tasks as there is work, scaled by their messages; for APIs
# one task, whose state lies on EFS. Configuration and certificates come from one secret.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  default     = "devo-aws-collector"
  description = "Name of the service"
}

variable "only" {
  type        = string
  default     = "queues"
  description = "What this service collects: queues or apis"
  validation {
    condition     = contains(["queues", "apis"], var.only)
    error_message = "only is queues or apis."
  }
}

variable "image" {
  type        = string
  description = "The collector's image, best by digest: REPOSITORY@sha256:…"
}

variable "cluster" {
  type        = string
  description = "Name of an ECS cluster with Container Insights (the number of running tasks)"
}

variable "subnets" {
  type        = list(string)
  description = "Private ones with a way to AWS and to Devo"
}

variable "security_groups" {
  type        = list(string)
  description = "Outgoing 443, Devo's port; 2049 to EFS"
}

variable "task_role_arn" {
  type        = string
  description = "role_arn of the roles module with trusted_service ecs-tasks.amazonaws.com"
}

variable "secret_arn" {
  type        = string
  description = "A secret with the keys CONFIG (the configuration), CHAIN, CERT and KEY (chain.crt, client.crt and client.key in certs/)"
}

variable "secret_key_arn" {
  type        = string
  default     = ""
  description = "The key of that secret, if it is not AWS's own"
}

variable "queue_name" {
  type        = string
  default     = ""
  description = "The busiest queue, whose messages count (queues)"
}

variable "min_tasks" {
  type        = number
  default     = 2
  description = "Tasks for queues at least"
}

variable "max_tasks" {
  type        = number
  default     = 12
  description = "Tasks for queues at most"
}

variable "messages_per_task" {
  type        = number
  default     = 1000
  description = "Visible messages that one task shall have"
}

variable "oldest_message_seconds" {
  type        = number
  default     = 300
  description = "Above it one task is added after the other, whatever the number of messages"
}

variable "file_system_id" {
  type        = string
  default     = ""
  description = "EFS with the state (apis)"
}

variable "access_point_id" {
  type        = string
  default     = ""
  description = "Of that file system, of user and group 10001"
}

variable "cpu" {
  type        = number
  default     = 1024
  description = "CPU units of a task"
}

variable "memory" {
  type        = number
  default     = 2048
  description = "MiB of a task"
}

data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  queues = var.only == "queues"
  files = {
    CONFIG = "config/config.yaml"
    CHAIN  = "certs/chain.crt"
    CERT   = "certs/client.crt"
    KEY    = "certs/client.key"
  }
  log = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = data.aws_region.here.name
      awslogs-stream-prefix = "collector"
    }
  }
  write = "import os; os.umask(0o077); [open(\"/collector/\" + path, \"w\").write(os.environ[name]) for name, path in ${jsonencode(local.files)}.items()]"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = 30
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "secret" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.secret_arn]
  }
  dynamic "statement" {
    for_each = var.secret_key_arn == "" ? [] : [var.secret_key_arn]
    content {
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  description        = "Starts the collector's tasks - image, secret, log"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "secret" {
  name   = "secret"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.secret.json
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = var.task_role_arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions = jsonencode([
    {
      name                   = "files"
      image                  = var.image
      essential              = false
      readonlyRootFilesystem = true
      entryPoint             = ["python", "-P", "-c"]
      command                = [local.write]
      secrets                = [for name in keys(local.files) : { name = name, valueFrom = "${var.secret_arn}:${name}::" }]
      mountPoints = [
        { sourceVolume = "config", containerPath = "/collector/config", readOnly = false },
        { sourceVolume = "certs", containerPath = "/collector/certs", readOnly = false },
      ]
      logConfiguration = local.log
    },
    {
      name                   = "collector"
      image                  = var.image
      essential              = true
      command                = ["--only", var.only, "--state", "/collector/state"]
      dependsOn              = [{ containerName = "files", condition = "SUCCESS" }]
      environment            = [{ name = "CONFIG_FILE", value = "config.yaml" }]
      readonlyRootFilesystem = true
      linuxParameters        = { capabilities = { drop = ["ALL"] } }
      # A drain takes a minute at most. ECS does not use the image's own health check.
      stopTimeout = 90
      healthCheck = {
        command     = ["CMD", "python", "-P", "-m", "flows.status.probe"]
        interval    = 30
        timeout     = 5
        retries     = 4
        startPeriod = 120
      }
      mountPoints = [
        { sourceVolume = "config", containerPath = "/collector/config", readOnly = true },
        { sourceVolume = "certs", containerPath = "/collector/certs", readOnly = true },
        { sourceVolume = "state", containerPath = "/collector/state", readOnly = false },
        { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
      ]
      logConfiguration = local.log
    },
  ])

  dynamic "volume" {
    for_each = ["config", "certs", "tmp"]
    content {
      name = volume.value
    }
  }

  volume {
    name = "state"
    dynamic "efs_volume_configuration" {
      for_each = local.queues ? [] : [var.file_system_id]
      content {
        file_system_id     = efs_volume_configuration.value
        transit_encryption = "ENABLED"
        authorization_config {
          access_point_id = var.access_point_id
          iam             = "ENABLED"
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = local.queues ? var.queue_name != "" : var.file_system_id != "" && var.access_point_id != ""
      error_message = "queues need queue_name, apis need file_system_id and access_point_id."
    }
  }
}

# A queue is shared by tasks old and new; a cursor has one owner, so the old one is gone before the new one starts.
resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = var.cluster
  task_definition                    = aws_ecs_task_definition.this.arn
  launch_type                        = "FARGATE"
  desired_count                      = local.queues ? var.min_tasks : 1
  deployment_minimum_healthy_percent = local.queues ? 100 : 0
  deployment_maximum_percent         = local.queues ? 200 : 100

  network_configuration {
    subnets          = var.subnets
    security_groups  = var.security_groups
    assign_public_ip = false
  }

  lifecycle {
    ignore_changes = [desired_count]
  }
}

resource "aws_appautoscaling_target" "this" {
  count              = local.queues ? 1 : 0
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster}/${aws_ecs_service.this.name}"
  min_capacity       = var.min_tasks
  max_capacity       = var.max_tasks
}

# AWS's own example of a backlog per task, "Create a target tracking scaling policy ... using metric math".
resource "aws_appautoscaling_policy" "backlog" {
  count              = local.queues ? 1 : 0
  name               = "${var.name}-backlog"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.messages_per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 300
    customized_metric_specification {
      metrics {
        id          = "visible"
        return_data = false
        metric_stat {
          stat = "Sum"
          metric {
            namespace   = "AWS/SQS"
            metric_name = "ApproximateNumberOfMessagesVisible"
            dimensions {
              name  = "QueueName"
              value = var.queue_name
            }
          }
        }
      }
      metrics {
        id          = "tasks"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = var.cluster
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.this.name
            }
          }
        }
      }
      metrics {
        id          = "backlog"
        expression  = "visible / tasks"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_policy" "one_more" {
  count              = local.queues ? 1 : 0
  name               = "${var.name}-oldest"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  step_scaling_policy_configuration {
    adjustment_type = "ChangeInCapacity"
    cooldown        = 120
    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = 1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  count               = local.queues ? 1 : 0
  alarm_name          = "${var.name}-oldest-message"
  alarm_description   = "Messages of the collector's queue wait for too long"
  evaluation_periods  = 2
  threshold           = var.oldest_message_seconds
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.one_more[0].arn]

  # The age counts messages in flight too: while Devo is away more tasks would only hold more of them.
  dynamic "metric_query" {
    for_each = { age = ["ApproximateAgeOfOldestMessage", "Maximum"], visible = ["ApproximateNumberOfMessagesVisible", "Minimum"] }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value[0]
        stat        = metric_query.value[1]
        period      = 60
        dimensions  = { QueueName = var.queue_name }
      }
    }
  }

  metric_query {
    id          = "waiting"
    expression  = "IF(visible > 0, age, 0)"
    return_data = true
  }
}

output "service_name" {
  value       = aws_ecs_service.this.name
  description = "The service"
}

output "log_group" {
  value       = aws_cloudwatch_log_group.this.name
  description = "Where the collector's log goes"
}
